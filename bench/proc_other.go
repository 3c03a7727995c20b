//go:build !linux

package main

import (
	"os/exec"
	"runtime"
	"time"
)

const tellsOfOthers = false // what would be asked for is 0, and not printed

func cpu(...int) time.Duration { return 0 }
func rss(int) float64          { return 0 }
func busy() time.Duration      { return 0 }
func endWithParent(*exec.Cmd)  {}
func machine() string          { return runtime.GOOS }
