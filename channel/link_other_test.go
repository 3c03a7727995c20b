//go:build !unix

package channel_test

func umask(int) func() { return func() {} }
