// Package abi moves values over the border between host and guest.
package abi

import (
	"runtime"
	"unsafe"
)

// Arguments of the call that runs; the host has put them where cabi_realloc said.
var arguments runtime.Pinner

// Allocate makes room that the garbage collector neither moves nor frees until pinner lets go of it.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	// Go aligns a slice of 64-bit words as strictly as any value of the ABI needs.
	words := make([]uint64, (size+7)/8)
	room := unsafe.Pointer(unsafe.SliceData(words))
	pinner.Pin(room)
	return room
}

// Unpin lets go of the arguments; values that were made of them keep what they need.
func Unpin() { arguments.Unpin() }

// The host never asks for a larger piece in place of a smaller one: it knows the length of everything that it sends.
//
//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil || oldSize != 0 {
		panic("abi: the host wants to resize")
	}
	return Allocate(&arguments, size, align)
}
