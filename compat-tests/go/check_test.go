package shelf

// What a test may say of what it has found.

import (
	"errors"
	"reflect"
	"testing"
)

// same fails the test if two values differ.
func same[T any](t *testing.T, found, expected T) {
	t.Helper()
	if !reflect.DeepEqual(found, expected) {
		t.Fatalf("found    %+v\nexpected %+v", found, expected)
	}
}

// fails takes an error of the type E out of what a call has returned, or fails the test.
func fails[E error](t *testing.T, err error) E {
	t.Helper()
	var wanted E
	if !errors.As(err, &wanted) {
		t.Fatalf("found the error %v, expected a %T", err, wanted)
	}
	return wanted
}

// sameType says whether two values are of one type.
func sameType(one, other any) bool {
	return reflect.TypeOf(one) == reflect.TypeOf(other)
}
