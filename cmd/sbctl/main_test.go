package main

import (
	"testing"

	"github.com/cad2f06c/switchboard/cmd/internal/scripttest"
)

func TestMain(m *testing.M) { scripttest.Main(m, map[string]func(){"rpcplugin": rpcPlugin}) }

func TestScript(t *testing.T) { scripttest.Run(t, "testdata/script") }
