/// A number that names a connection, a listener or a request: box (24 bits), slot (20), generation
/// (20).
///
/// A slot whose generations are used up rests until those of all others are: a handle comes again
/// only after 2^40 others of its kind in its box. 0 is never a handle, because boxes are numbered
/// from 1.
package struct Handle: Hashable, Sendable {
  package var rawValue: UInt64

  package static let maxSlots = 1 << 20
  package static let maxGeneration: UInt32 = 1 << 20 - 1
  package static let maxBox: UInt32 = 1 << 24 - 1

  package static let none = Handle(rawValue: 0)

  package init(rawValue: UInt64) {
    self.rawValue = rawValue
  }

  package init(box: UInt32, slot: Int, generation: UInt32) {
    rawValue =
      UInt64(box) << 40 | UInt64(truncatingIfNeeded: slot) << 20 | UInt64(generation)
  }

  package var box: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 40) }
  package var slot: Int { Int(truncatingIfNeeded: rawValue >> 20 & 0xf_ffff) }
  package var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue & 0xf_ffff) }
}
