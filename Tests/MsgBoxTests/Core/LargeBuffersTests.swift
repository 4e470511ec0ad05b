import MsgBox
import Testing

@Suite("Buffers of large messages")
struct LargeBuffersTests {
  private func buffer(_ capacity: Int) -> [UInt8] {
    var buffer: [UInt8] = [1, 2, 3]
    buffer.reserveCapacity(capacity)
    return buffer
  }

  @Test("The largest that is not too large is lent, empty, and nothing if there is none")
  func range() throws {
    var buffers = LargeBuffers()
    for capacity in [1000, 4000, 16000, 64000] { buffers.give(buffer(capacity)) }
    let first = buffers.take(of: 2000...32000)
    let lent = try #require(first)
    #expect(lent.isEmpty && lent.capacity >= 16000 && lent.capacity <= 32000)
    let second = buffers.take(of: 2000...32000)
    let next = try #require(second)
    #expect(next.isEmpty && next.capacity >= 4000 && next.capacity < 16000)
    let none = buffers.take(of: 2000...32000)
    #expect(none == nil)
    buffers.give(lent)
    let again = buffers.take(of: 16000...32000)
    #expect(again?.isEmpty == true)
  }

  @Test("Small ones make room for larger ones, and nothing is kept beyond 32 MiB")
  func bounds() {
    var buffers = LargeBuffers()
    for _ in 0..<64 { buffers.give(buffer(1000)) }
    buffers.give(buffer(100))
    let small = buffers.take(of: 100...900)
    #expect(small == nil)
    for _ in 0..<64 { buffers.give(buffer(300_000)) }
    let replaced = buffers.take(of: 1...200_000)
    #expect(replaced == nil)
    for _ in 0..<64 { buffers.give(buffer(1 << 20)) }
    var kept = 0
    while let lent = buffers.take(of: 1...Int.max) { kept += lent.capacity }
    #expect(kept > 16 << 20 && kept <= 32 << 20)
  }

  @Test("The largest that was grown is kept, at the cost of those that it has outgrown")
  func outgrown() throws {
    var buffers = LargeBuffers()
    for capacity in [1, 2, 4, 8, 17] { buffers.give(buffer(capacity << 20)) }
    buffers.give(buffer(33 << 20))
    let found = buffers.take(of: 1...Int.max)
    let largest = try #require(found)
    #expect(largest.capacity >= 17 << 20 && largest.capacity < 33 << 20)
    var kept = largest.capacity
    while let lent = buffers.take(of: 1...Int.max) { kept += lent.capacity }
    #expect(kept >= 25 << 20 && kept <= 32 << 20)
  }

  @Test("A message is lent at most four times what came of it, and its next like uses it again")
  func growth() {
    var buffers = LargeBuffers()
    buffers.give(buffer(1 << 20))
    var reassembly = Reassembly()
    let piece = [UInt8](repeating: 7, count: 1000)
    func add(_ id: UInt32, _ index: Int) -> Assembly {
      reassembly.add(
        FragmentKey(kind: .reliable, messageID: id), replyID: 0, numPackets: 1000,
        packetID: UInt16(index), payload: piece.span, largest: 1 << 20, allowance: 1 << 24,
        buffers: &buffers, at: Instant(nanoseconds: 0))
    }
    for id in UInt32(0)..<2000 {
      let result = add(id, 0)
      #expect(result == (id < 1024 ? .incomplete : .refused))
    }
    let untouched = buffers.take(of: 1 << 20...2 << 20)
    #expect(untouched != nil, "first fragments get no large buffer")
    buffers.give(untouched ?? [])
    var whole: [UInt8] = []
    for index in 1..<1000 {
      if case .complete(let bytes) = add(5, index) { whole = bytes }
    }
    #expect(whole.count == 1_000_000 && whole.allSatisfy { $0 == 7 })
    #expect(whole.capacity >= 1 << 20, "the large buffer is used")
    let other = buffers.take(of: 1 << 20...4 << 20)
    #expect(other == nil)
  }
}
