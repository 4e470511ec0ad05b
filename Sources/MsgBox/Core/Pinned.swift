/// Makes the structure that has it one that stays where it is: the compiler then passes that by its
/// address, instead of copying all of it onto the stack for each call that only reads it.
@_rawLayout(size: 1, alignment: 1)
struct Pinned: ~Copyable {
  // Embedded Swift must see one.
  deinit {}
}
