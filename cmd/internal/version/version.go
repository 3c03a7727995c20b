// Package version says which build of Switchboard a program is.
package version

import "runtime/debug"

// String is the module version of the build, or the commit it was built from
// ("devel+1a2b3c4d5e6f", with "-dirty" if files were changed), or "devel".
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	out := "devel"
	dirty := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			out += "+" + s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	return out + dirty
}
