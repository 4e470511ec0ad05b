/// Numbers in network byte order, read from and written to bytes. Each read is checked; none can
/// trap.
extension Span<UInt8> {
  /// The unsigned number at `offset`, big-endian; nil if it does not lie within the bytes.
  package func bigEndian<Number: FixedWidthInteger & UnsignedInteger>(
    _ type: Number.Type, at offset: Int
  ) -> Number? {
    let size = Number.bitWidth / 8
    guard offset >= 0, offset <= count - size else { return nil }
    var number: Number = 0
    for index in offset..<offset + size {
      number = number << 8 | Number(truncatingIfNeeded: self[index])
    }
    return number
  }
}

extension [UInt8] {
  package mutating func append<Number: FixedWidthInteger & UnsignedInteger>(
    bigEndian number: Number
  ) {
    var shift = Number.bitWidth - 8
    while shift >= 0 {
      append(UInt8(truncatingIfNeeded: number >> Number(shift)))
      shift -= 8
    }
  }

  /// Appends a copy of borrowed bytes.
  package mutating func append(bytes: Span<UInt8>) {
    guard !bytes.isEmpty else { return }
    // One block copy, where appending a collection copies byte by byte; there is room for what is
    // copied, and no pointer leaves its closure.
    append(addingCapacity: bytes.count) { room in
      unsafe room.withUnsafeMutableBufferPointer { target, count in
        unsafe bytes.withUnsafeBytes { source in
          unsafe UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
        }
        count = bytes.count
      }
    }
  }
}

extension MutableSpan<UInt8> {
  /// Copies `bytes` to the front; false, and nothing is copied, if they do not fit.
  package mutating func copyToFront(_ bytes: Span<UInt8>) -> Bool {
    guard bytes.count <= count else { return false }
    // One block copy; the length is checked above and neither pointer leaves its closure.
    unsafe bytes.withUnsafeBytes { source in
      unsafe self.withUnsafeMutableBytes { target in
        unsafe target.copyMemory(from: source)
      }
    }
    return true
  }
}
