/// The bytes of one run, read as choices; zeros follow their end.
struct FuzzInput {
  private let bytes: [UInt8]
  private var offset = 0

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  var isEmpty: Bool { offset == bytes.count }

  mutating func byte() -> UInt8 {
    guard offset < bytes.count else { return 0 }
    offset += 1
    return bytes[offset - 1]
  }

  mutating func flag() -> Bool { byte() & 1 == 1 }

  /// Up to 255 bytes.
  mutating func string() -> [UInt8] {
    let count = min(Int(byte()), bytes.count - offset)
    defer { offset += count }
    return Array(bytes[offset..<offset + count])
  }

  /// Two bytes as one number.
  mutating func word() -> UInt16 { UInt16(byte()) << 8 | UInt16(byte()) }

  /// All that is left.
  mutating func rest() -> [UInt8] {
    defer { offset = bytes.count }
    return Array(bytes[offset...])
  }

  /// One of `elements`; nil if there are none.
  mutating func choice<Element>(of elements: [Element]) -> Element? {
    elements.isEmpty ? nil : elements[Int(byte()) % elements.count]
  }
}
