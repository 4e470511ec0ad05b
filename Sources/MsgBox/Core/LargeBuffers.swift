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

  /// The largest empty buffer with a capacity in that range; nil if there is none.
  ///
  /// For who fills it bit by bit: with an upper end that grows with what came, nobody gets much
  /// memory for little.
  package mutating func take(of capacities: ClosedRange<Int>) -> [UInt8]? {
    var best: Int?
    for index in buffers.indices where capacities.contains(buffers[index].capacity) {
      if best.map({ buffers[$0].capacity < buffers[index].capacity }) ?? true { best = index }
    }
    guard let best else { return nil }
    buffers.swapAt(best, buffers.count - 1)
    bytes -= buffers[buffers.count - 1].capacity
    return buffers.removeLast()
  }

  /// Keeps the memory of a buffer that nobody needs any more, if there is room for it; smaller ones
  /// make room.
  package mutating func give(_ buffer: consuming [UInt8]) {
    let capacity = buffer.capacity
    guard capacity > 0, capacity <= Self.keptBytes else { return }
    buffer.removeAll(keepingCapacity: true)
    while !hasRoom(for: capacity) {
      guard dropSmallest(below: capacity) else { return }
    }
    bytes += capacity
    buffers.append(buffer)
  }

  private func hasRoom(for capacity: Int) -> Bool {
    buffers.count < Self.keptCount && bytes + capacity <= Self.keptBytes
  }

  /// Gives the memory of the smallest buffer back; false if none is smaller than `capacity`.
  private mutating func dropSmallest(below capacity: Int) -> Bool {
    guard !buffers.isEmpty else { return false }
    var smallest = 0
    for index in buffers.indices where buffers[index].capacity < buffers[smallest].capacity {
      smallest = index
    }
    guard buffers[smallest].capacity < capacity else { return false }
    bytes -= buffers[smallest].capacity
    buffers.swapAt(smallest, buffers.count - 1)
    buffers.removeLast()
    return true
  }

  /// Gives all memory back.
  mutating func empty() {
    buffers = []
    bytes = 0
  }
}
