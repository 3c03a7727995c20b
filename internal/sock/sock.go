// Package sock makes system calls of sockets that do not wait (O_NONBLOCK). Their
// errors are errno values; what comes with one is no count.
package sock

// Calls makes them. Quiet calls, those of a true Calls, do not tell the Go scheduler
// that they are system calls, where Linux and the processor allow that; elsewhere
// there is no difference. It need not know of one that returns at once. If it does,
// and the process was idle before, the thread that watches over the others wakes:
// two switches of threads more for each message that a process had to wake for.
//
// The price: that thread may then sleep, up to a minute, while goroutines compute
// that make no other system calls and begin no garbage collection, and nobody takes
// a processor away from one that has had its time. So quiet calls are for programs
// all of whose goroutines are brief.
type Calls bool
