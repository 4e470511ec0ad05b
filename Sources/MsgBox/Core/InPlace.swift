/// A part without bytes of its own that makes what it is in stay where it is: the compiler passes
/// the address of a large structure then, where it would copy the whole of it to the stack for each
/// call that only looks at it.
@_rawLayout(size: 0, alignment: 1)
@safe struct InPlace: ~Copyable {
  deinit {}
}
