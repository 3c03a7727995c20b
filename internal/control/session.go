package control

import (
	"strconv"
	"strings"
)

// FormatSession writes a session id as it stands in JSON: ":17".
func FormatSession(id uint64) string { return ":" + strconv.FormatUint(id, 10) }

// ParseSession reads a session id. There is one spelling of each: no sign, no
// leading zero.
func ParseSession(s string) (uint64, bool) {
	digits, ok := strings.CutPrefix(s, ":")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || FormatSession(id) != s {
		return 0, false
	}
	return id, true
}
