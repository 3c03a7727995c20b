//go:build fault && linux

package fault_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// What the system's headers say and package syscall does not.
const (
	ptraceSyscallInfo = 0x420e     // PTRACE_GET_SYSCALL_INFO
	ptraceExitKill    = 0x100000   // PTRACE_O_EXITKILL
	waitAll           = 0x40000000 // __WALL: threads too
	waitOwn           = 0x20000000 // __WNOTHREAD: children of this thread alone
	inSyscall         = syscall.SIGTRAP | 0x80
)

// syscallInfo is struct ptrace_syscall_info.
type syscallInfo struct {
	op    uint8 // 1: at the entry of a system call
	_     [3]uint8
	arch  uint32
	ip    uint64
	sp    uint64
	entry struct {
		number uint64
		args   [6]uint64
	}
}

// idle are system calls with which the runtime passes its time.
var idle = []uint64{
	syscall.SYS_FUTEX, syscall.SYS_NANOSLEEP, syscall.SYS_SCHED_YIELD, syscall.SYS_MMAP, syscall.SYS_MUNMAP, syscall.SYS_MADVISE,
	syscall.SYS_RT_SIGPROCMASK, syscall.SYS_RT_SIGRETURN, syscall.SYS_RT_SIGACTION, syscall.SYS_SIGALTSTACK,
	syscall.SYS_TGKILL, syscall.SYS_GETPID, syscall.SYS_GETTID, syscall.SYS_CLONE, syscall.SYS_EPOLL_PWAIT,
}

// dieAt runs a command that writes a line to its output before and another behind what
// it does, and kills it at the entry of the n-th system call between. It returns the
// number of that, and what the command has written; done: it came to its end before
// there were so many. The system call is not made.
func dieAt(t *testing.T, cmd *exec.Cmd, n int) (number uint64, said string, done bool) {
	t.Helper()
	runtime.LockOSThread() // who traces is a thread
	defer runtime.UnlockOSThread()
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	cmd.Stdout = w
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true}
	must(t, cmd.Start())
	w.Close()
	pid := cmd.Process.Pid
	late := time.AfterFunc(slow*20*time.Second, func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // it is gone else
	defer late.Stop()
	var status syscall.WaitStatus
	_, err = syscall.Wait4(pid, &status, waitAll, nil)
	must(t, err)
	must(t, syscall.PtraceSetOptions(pid, syscall.PTRACE_O_TRACESYSGOOD|syscall.PTRACE_O_TRACECLONE|ptraceExitKill))
	must(t, syscall.PtraceSyscall(pid, 0))
	seen, lines := 0, 0
	done = true
	for {
		tid, err := syscall.Wait4(-pid, &status, waitAll|waitOwn, nil) // its group: this thread may have other children
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		must(t, err)
		if status.Exited() || status.Signaled() {
			if tid != pid {
				continue
			}
			break
		}
		signal := 0
		switch got := status.StopSignal(); {
		case got == inSyscall:
			var info syscallInfo
			if _, _, e := syscall.Syscall6(syscall.SYS_PTRACE, ptraceSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0); e != 0 {
				t.Fatal(e)
			}
			if info.op != 1 || slices.Contains(idle, info.entry.number) {
				break
			}
			if info.entry.number == syscall.SYS_WRITE && info.entry.args[0] == 1 {
				if lines++; lines == 1 {
					break
				}
			}
			if lines > 0 && lines < 3 {
				if seen++; seen == n {
					number, done = info.entry.number, false
					must(t, syscall.Kill(pid, syscall.SIGKILL))
					continue // its end is what comes next
				}
			}
		case got != syscall.SIGTRAP && got != syscall.SIGSTOP:
			signal = int(got)
		}
		if err := syscall.PtraceSyscall(tid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(r)
	must(t, err)
	_ = cmd.Wait() // its end was taken above
	return number, strings.TrimSpace(string(text)), done
}
