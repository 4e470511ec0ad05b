/// Numbers in network byte order, read from and written to bytes. Each read is checked; none can
/// trap.
extension Span<UInt8> {
  /// The unsigned number at `offset`, big-endian; nil if it does not lie within the bytes.
  @inline(__always)
  package func bigEndian<Number: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ type: Number.Type, at offset: Int
  ) -> Number? {
    guard offset >= 0, offset <= count - MemoryLayout<Number>.size else { return nil }
    // One load; it lies within the bytes, and any bits are a number.
    return unsafe Number(
      bigEndian: bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: Number.self))
  }
}

extension [UInt8] {
  package mutating func append<Number: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    bigEndian number: Number
  ) {
    append(addingCapacity: MemoryLayout<Number>.size) { room in
      unsafe room.withUnsafeMutableBufferPointer { target, count in
        let target = UnsafeMutableRawBufferPointer(target)
        unsafe target.storeBytes(of: number.bigEndian, as: Number.self)
        count = MemoryLayout<Number>.size
      }
    }
  }

  /// Appends what `write` puts into room for `most` bytes: it moves the offset, 0 at first, behind
  /// them.
  @inline(__always)
  mutating func append(atMost most: Int, _ write: (inout MutableRawSpan, inout Int) -> Void) {
    append(addingCapacity: most) { room in
      // Only bytes that were written count, and no pointer leaves its closure.
      unsafe room.withUnsafeMutableBufferPointer { target, count in
        var span = unsafe UnsafeMutableRawBufferPointer(target).mutableBytes
        write(&span, &count)
      }
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

extension MutableRawSpan {
  /// Writes a number at `offset`, which moves behind it. There is room for it, or this traps.
  mutating func put<Number: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ number: Number, at offset: inout Int
  ) {
    storeBytes(of: number.bigEndian, toByteOffset: offset, as: Number.self)
    offset += MemoryLayout<Number>.size
  }

  /// Copies bytes to `offset`, which moves behind them; nothing if there is no room for them.
  mutating func put(_ bytes: Span<UInt8>, at offset: inout Int) {
    guard offset >= 0, bytes.count <= byteCount - offset else { return }
    let start = offset
    offset += bytes.count
    // One block copy; the bounds are checked above, and no pointer leaves its closure.
    unsafe bytes.withUnsafeBytes { source in
      unsafe self.withUnsafeMutableBytes { target in
        guard let to = target.baseAddress, let from = source.baseAddress else { return }
        unsafe (to + start).copyMemory(from: from, byteCount: source.count)
      }
    }
  }
}
