package paths_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/paths"
)

func ExampleDefault() {
	env := map[string]string{"HOME": "/home/ann", "XDG_RUNTIME_DIR": "/run/user/1000"}
	places, err := paths.Default(func(name string) string { return env[name] }, 1000)
	fmt.Println(places.Socket, err)
	fmt.Println(places.UserKey)
	// Output:
	// /run/user/1000/switchboard/bus.sock <nil>
	// /home/ann/.config/switchboard/user.key
}

// set is what the two folders contain.
func set(run, config string) paths.Set {
	s := paths.Set{}
	if run != "" {
		s.Socket, s.Address = run+"/bus.sock", run+"/address"
	}
	if config != "" {
		s.Config, s.Authorized = config+"/switchboard.toml", config+"/authorized_peers"
		s.ServerKey, s.UserKey = config+"/server.key", config+"/user.key"
	}
	return s
}

func TestDefault(t *testing.T) {
	const home, runtime, state, config = "HOME=/h", "XDG_RUNTIME_DIR=/r", "XDG_STATE_HOME=/s", "XDG_CONFIG_HOME=/c"
	for _, row := range []struct {
		name string
		euid int
		env  string
		want paths.Set
		cure string // "": no error
	}{
		{"root", 0, "", set("/run/switchboard", "/etc/switchboard"), ""},
		{"root heeds no environment", 0, home + " " + runtime + " " + state + " " + config,
			set("/run/switchboard", "/etc/switchboard"), ""},
		{"all set", 7, home + " " + runtime + " " + state + " " + config, set("/r/switchboard", "/c/switchboard"), ""},
		{"no runtime directory", 7, home + " " + state, set("/s/switchboard", "/h/.config/switchboard"), ""},
		{"home alone", 7, home, set("/h/.local/state/switchboard", "/h/.config/switchboard"), ""},
		{"no home needed", 7, runtime + " " + config, set("/r/switchboard", "/c/switchboard"), ""},
		{"relative values do not count", 7, home + " XDG_RUNTIME_DIR=r XDG_STATE_HOME=./s XDG_CONFIG_HOME=c",
			set("/h/.local/state/switchboard", "/h/.config/switchboard"), ""},
		{"values are cleaned", 7, "XDG_RUNTIME_DIR=/r// XDG_CONFIG_HOME=/c/.", set("/r/switchboard", "/c/switchboard"), ""},
		{"nothing set", 7, "", set("", ""), "set HOME, or both XDG_RUNTIME_DIR and XDG_CONFIG_HOME"},
		{"relative home", 7, "HOME=h", set("", ""), "set HOME"},
		{"no place for the socket", 7, config, set("", "/c/switchboard"), "set XDG_RUNTIME_DIR, XDG_STATE_HOME or HOME"},
		{"no place for the settings", 7, runtime, set("/r/switchboard", ""), "set XDG_CONFIG_HOME or HOME"},
	} {
		t.Run(row.name, func(t *testing.T) {
			env := make(map[string]string)
			for _, pair := range strings.Fields(row.env) {
				name, value, _ := strings.Cut(pair, "=")
				env[name] = value
			}
			got, err := paths.Default(func(name string) string { return env[name] }, row.euid)
			if got != row.want {
				t.Errorf("got %+v, want %+v", got, row.want)
			}
			switch {
			case row.cure == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case row.cure != "" && (!errors.Is(err, paths.ErrNoPlace) || !strings.Contains(err.Error(), row.cure)):
				t.Errorf("got %v, want ErrNoPlace that says %q", err, row.cure)
			}
		})
	}
}
