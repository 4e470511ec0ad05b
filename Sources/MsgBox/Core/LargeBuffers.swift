/// Emptied buffers of messages that came in pieces, for the next ones: their memory was grown by
/// bytes that really came, so a stream of large messages costs neither allocations nor fresh pages.
package struct LargeBuffers {
  /// Bytes that are kept at most, over all buffers; one buffer alone may be as large as that.
  static let keptBytes = 33_554_432
  /// Buffers that are kept at most.
  private static let keptCount = 64

  private var buffers: [[UInt8]] = []
  private var bytes = 0

  package init() {}

  /// An empty buffer: the one that was given back last, or a new one without memory.
  package mutating func take() -> [UInt8] {
    guard let buffer = buffers.popLast() else { return [] }
    bytes -= buffer.capacity
    return buffer
  }

  /// Keeps the memory of a buffer that nobody needs any more, if there is room for it.
  package mutating func give(_ buffer: consuming [UInt8]) {
    let capacity = buffer.capacity
    guard capacity > 0, buffers.count < Self.keptCount, bytes + capacity <= Self.keptBytes else {
      return
    }
    buffer.removeAll(keepingCapacity: true)
    bytes += capacity
    buffers.append(buffer)
  }

  /// Gives all memory back.
  mutating func empty() {
    buffers = []
    bytes = 0
  }
}
