package retry

// Bare returns err without the marks, and without the [Unmark], around it. Marks further in, below
// another error, stay.
func Bare(err error) error {
	for {
		switch e := err.(type) {
		case *mark:
			err = e.err
		case *unmarked:
			err = e.err
		default:
			return err
		}
	}
}
