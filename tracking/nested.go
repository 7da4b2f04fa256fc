package tracking

// The objects inside the values of the record keep the fields that they do not
// know. Each is marshalled through a type without its methods, or package json
// would call them for ever.

type (
	plainArchive  Archive
	plainTurn     Turn
	plainWaiting  Waiting
	plainLine     Line
	plainRules    Rules
	plainLastWord LastWord
)

// nested is decode for an object inside another, where null stands for none.
func nested(data []byte, v any) (Extra, error) {
	if string(data) == "null" {
		return "", nil
	}
	return decode(data, v)
}

// MarshalJSON implements json.Marshaler; it adds a.Extra.
func (a Archive) MarshalJSON() ([]byte, error) { return encode(plainArchive(a), a.Extra) }

// UnmarshalJSON implements json.Unmarshaler; it fills a.Extra.
func (a *Archive) UnmarshalJSON(data []byte) (err error) {
	*a = Archive{}
	a.Extra, err = nested(data, (*plainArchive)(a))
	return err
}

// MarshalJSON implements json.Marshaler; it adds t.Extra.
func (t Turn) MarshalJSON() ([]byte, error) { return encode(plainTurn(t), t.Extra) }

// UnmarshalJSON implements json.Unmarshaler; it fills t.Extra.
func (t *Turn) UnmarshalJSON(data []byte) (err error) {
	*t = Turn{}
	t.Extra, err = nested(data, (*plainTurn)(t))
	return err
}

// MarshalJSON implements json.Marshaler; it adds w.Extra.
func (w Waiting) MarshalJSON() ([]byte, error) { return encode(plainWaiting(w), w.Extra) }

// UnmarshalJSON implements json.Unmarshaler; it fills w.Extra.
func (w *Waiting) UnmarshalJSON(data []byte) (err error) {
	*w = Waiting{}
	w.Extra, err = nested(data, (*plainWaiting)(w))
	return err
}

// MarshalJSON implements json.Marshaler; it adds l.Extra.
func (l Line) MarshalJSON() ([]byte, error) { return encode(plainLine(l), l.Extra) }

// UnmarshalJSON implements json.Unmarshaler; it fills l.Extra.
func (l *Line) UnmarshalJSON(data []byte) (err error) {
	*l = Line{}
	l.Extra, err = nested(data, (*plainLine)(l))
	return err
}

// MarshalJSON implements json.Marshaler; it adds r.Extra.
func (r Rules) MarshalJSON() ([]byte, error) { return encode(plainRules(r), r.Extra) }

// UnmarshalJSON implements json.Unmarshaler; it fills r.Extra.
func (r *Rules) UnmarshalJSON(data []byte) (err error) {
	*r = Rules{}
	r.Extra, err = nested(data, (*plainRules)(r))
	return err
}

// MarshalJSON implements json.Marshaler; it adds l.Extra.
func (l LastWord) MarshalJSON() ([]byte, error) { return encode(plainLastWord(l), l.Extra) }

// UnmarshalJSON implements json.Unmarshaler; it fills l.Extra.
func (l *LastWord) UnmarshalJSON(data []byte) (err error) {
	*l = LastWord{}
	l.Extra, err = nested(data, (*plainLastWord)(l))
	return err
}
