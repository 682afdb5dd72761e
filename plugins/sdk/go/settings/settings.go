// Package settings reads the JSON that the host hands over.
package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Decode fills a struct that holds the defaults. A key that the struct does not know is a mistake, because the
// operator meant something by it.
func Decode(text string, into any) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return explain(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one JSON value")
	}
	return nil
}

func explain(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("%s: invalid type: %s, expected %s", kind.Field, kind.Value, kind.Type)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}
