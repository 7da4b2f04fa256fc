package upgradecmd

import "strings"

// A table lines up rows in columns with two blanks between them.
type table struct {
	min   []int        // least width by column
	right map[int]bool // columns that end at the same place rather than begin
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) lines() []string {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				n := 0
				if i < len(t.min) {
					n = t.min[i]
				}
				widths = append(widths, n)
			}
			widths[i] = max(widths[i], width(cell))
		}
	}
	lines := make([]string, 0, len(t.rows))
	for _, row := range t.rows {
		var b strings.Builder
		for i, cell := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			fill := strings.Repeat(" ", widths[i]-width(cell))
			if t.right[i] {
				b.WriteString(fill + cell)
			} else {
				b.WriteString(cell + fill)
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}
