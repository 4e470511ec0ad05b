import MsgBox
import Testing

/// A message cut into fragments of `size` bytes.
private struct Cut {
  var key: FragmentKey
  var replyID: UInt16 = 0
  var bytes: [UInt8]
  var size: Int

  var count: Int { (bytes.count + size - 1) / size }

  func payload(_ index: Int) -> [UInt8] {
    Array(bytes[index * size..<min((index + 1) * size, bytes.count)])
  }
}

extension Reassembly {
  fileprivate mutating func add(
    _ cut: Cut, _ index: Int, largest: Int = 1 << 20, allowance: Int = 1 << 24,
    at now: Instant = Instant(nanoseconds: 0)
  ) -> Assembly {
    var buffers = LargeBuffers()
    return add(
      cut.key, replyID: cut.replyID, numPackets: UInt16(cut.count), packetID: UInt16(index),
      payload: cut.payload(index).span, largest: largest, allowance: allowance,
      buffers: &buffers, at: now)
  }

  fileprivate mutating func add(
    _ id: UInt32, _ kind: PacketKind = .oneWay, replyID: UInt16 = 0, packets: UInt16,
    index: UInt16, count: Int, largest: Int = 1 << 20, allowance: Int = 1 << 24,
    at now: Instant = Instant(nanoseconds: 0)
  ) -> Assembly {
    var buffers = LargeBuffers()
    return add(
      FragmentKey(kind: kind, messageID: id), replyID: replyID, numPackets: packets,
      packetID: index, payload: [UInt8](repeating: UInt8(index & 255), count: count).span,
      largest: largest, allowance: allowance, buffers: &buffers, at: now)
  }
}

@Suite("Reassembly of messages")
struct ReassemblyTests {
  private let start = Instant(nanoseconds: 0)
  private static let allKinds: [PacketKind] = [.oneWay, .request, .reply, .reliable]

  private func cut(_ id: UInt32, count: Int, size: Int, kind: PacketKind = .oneWay) -> Cut {
    var random = SeededRandom(seed: UInt64(id))
    return Cut(
      key: FragmentKey(kind: kind, messageID: id), bytes: random.bytes(count), size: size)
  }

  /// All orders of 0 ..< count.
  private func orders(_ count: Int) -> [[Int]] {
    guard count > 0 else { return [[]] }
    return orders(count - 1).flatMap { order in
      (0...order.count).map { place in
        var longer = order
        longer.insert(count - 1, at: place)
        return longer
      }
    }
  }

  @Test("Five fragments make their message in each of the 120 orders, copies are duplicates")
  func permutations() {
    let message = cut(1, count: 47, size: 10)
    let orders = orders(5)
    #expect(Set(orders).count == 120)
    for order in orders {
      var reassembly = Reassembly()
      for (step, index) in order.enumerated() {
        let result = reassembly.add(message, index)
        #expect(result == (step == 4 ? .complete(message.bytes) : .incomplete))
        for again in order[...step] {
          let copy = reassembly.add(message, again)
          #expect(copy == .duplicate)
        }
      }
      #expect(reassembly.heldBytes == 0 && reassembly.count == 0 && reassembly.nextExpiry == nil)
    }
  }

  @Test("Without one of five fragments there is no message, and after 10 s nothing of it")
  func loss() {
    let message = cut(1, count: 50, size: 10)
    for order in orders(5) {
      var reassembly = Reassembly()
      for index in order.dropLast() {
        let result = reassembly.add(message, index)
        #expect(result == .incomplete)
      }
      #expect(reassembly.count == 1 && reassembly.heldBytes >= 40)
      #expect(reassembly.nextExpiry == start + .seconds(10))
      let early = reassembly.expire(at: Instant(nanoseconds: 9_999_999_999))
      #expect(early == 0)
      let late = reassembly.expire(at: start + .seconds(10))
      #expect(late == 1 && reassembly.heldBytes == 0 && reassembly.count == 0)
    }
  }

  @Test("Messages of equal size that are interleaved do not mix, nor do kinds of one id")
  func interleaved() {
    var reassembly = Reassembly()
    let messages =
      [cut(1, count: 100, size: 10), cut(2, count: 100, size: 10)]
      + Self.allKinds.dropFirst().map { cut(1, count: 100, size: 10, kind: $0) }
    for index in 0..<10 {
      for message in index % 2 == 0 ? messages : messages.reversed() {
        let result = reassembly.add(message, (index + 3) % 10)
        #expect(result == (index == 9 ? .complete(message.bytes) : .incomplete))
      }
    }
    #expect(reassembly.heldBytes == 0)
  }

  @Test("Ten seconds count from the last new fragment; reliable messages stay")
  func expiry() {
    var reassembly = Reassembly()
    for (id, kind) in Self.allKinds.enumerated() {
      _ = reassembly.add(UInt32(id), kind, packets: 4, index: 0, count: 9)
    }
    _ = reassembly.add(0, packets: 4, index: 2, count: 9, at: start + .seconds(8))
    _ = reassembly.add(1, .request, packets: 4, index: 0, count: 9, at: start + .seconds(8))
    #expect(reassembly.oldestReliableProgress == start)
    let first = reassembly.expire(at: start + .seconds(10))
    #expect(first == 2 && reassembly.nextExpiry == start + .seconds(18))
    let second = reassembly.expire(at: start + .seconds(1000))
    #expect(second == 1 && reassembly.count == 1 && reassembly.nextExpiry == nil)
    _ = reassembly.add(9, .reliable, packets: 4, index: 0, count: 9, at: start + .seconds(2))
    _ = reassembly.add(3, .reliable, packets: 4, index: 1, count: 9, at: start + .seconds(3))
    #expect(reassembly.oldestReliableProgress == start + .seconds(2))
  }

  @Test("A fragment that contradicts the ones before it ends its message, and all that follows")
  func contradictions() {
    let wrong: [(UInt16, UInt16, UInt16, Int)] = [
      (0, 6, 2, 10), (0, 1, 0, 10), (0, 0, 0, 10), (7, 5, 2, 10), (0, 5, 5, 10), (0, 5, 2, 9),
      (0, 5, 2, 11), (0, 5, 2, 0), (0, 5, 4, 11), (0, 5, 4, 0), (0, 5, 0, 9), (7, 5, 0, 10),
    ]
    for (replyID, packets, index, count) in wrong {
      var reassembly = Reassembly()
      _ = reassembly.add(1, packets: 5, index: 0, count: 10)
      _ = reassembly.add(1, packets: 5, index: 3, count: 10)
      let bad = reassembly.add(1, replyID: replyID, packets: packets, index: index, count: count)
      #expect(bad == .drop(.fragment) && reassembly.count == 0 && reassembly.heldBytes == 0)
      let later = reassembly.add(1, packets: 5, index: 1, count: 10)
      #expect(later == .drop(.fragment) && reassembly.count == 0)
    }
    var last = Reassembly()
    _ = last.add(1, packets: 5, index: 4, count: 10)
    let short = last.add(1, packets: 5, index: 0, count: 9)
    #expect(short == .drop(.fragment))
    let equal = last.add(2, packets: 2, index: 1, count: 10)
    let whole = last.add(2, packets: 2, index: 0, count: 10)
    #expect(equal == .incomplete && whole != .drop(.fragment) && whole != .incomplete)
  }

  @Test("A message that would be too large ends as early as that can be known")
  func tooBig() {
    for (index, count, largest, fits): (UInt16, Int, Int, Bool) in [
      (0, 10, 41, true), (0, 10, 40, false), (4, 10, 50, true), (4, 10, 49, false),
      (4, 1, 5, true), (4, 1, 4, false),
    ] {
      var reassembly = Reassembly()
      let result = reassembly.add(1, packets: 5, index: index, count: count, largest: largest)
      #expect(result == (fits ? .incomplete : .drop(.tooBig)))
      #expect(reassembly.count == (fits ? 1 : 0))
    }
    var reassembly = Reassembly()
    _ = reassembly.add(1, packets: 5, index: 0, count: 10, largest: 45)
    let exact = reassembly.add(1, packets: 5, index: 4, count: 5, largest: 45)
    let over = reassembly.add(1, packets: 5, index: 1, count: 10, largest: 44)
    let later = reassembly.add(1, packets: 5, index: 2, count: 10, largest: 45)
    #expect(exact == .incomplete && over == .drop(.tooBig) && later == .drop(.tooBig))
    #expect(reassembly.heldBytes == 0)
    let most = reassembly.add(2, packets: 65535, index: 65534, count: 1, largest: 65534)
    #expect(most == .drop(.tooBig))
  }

  @Test("The largest number of packets makes a message, first to last and last to first")
  func manyPackets() {
    for isReversed in [false, true] {
      var reassembly = Reassembly()
      let message = cut(1, count: 65535, size: 1)
      for step in 0..<65534 {
        _ = reassembly.add(message, isReversed ? 65534 - step : step)
      }
      #expect(reassembly.heldBytes >= 65534)
      let end = reassembly.add(message, isReversed ? 0 : 65534)
      #expect(end == .complete(message.bytes) && reassembly.heldBytes == 0)
    }
  }

  @Test("The last 64 messages that are over are remembered, and not one more")
  func finished() {
    var reassembly = Reassembly()
    for id in UInt32(0)..<65 {
      let message = cut(id, count: 4, size: 2)
      _ = reassembly.add(message, 0)
      let whole = reassembly.add(message, 1)
      #expect(whole == .complete(message.bytes))
    }
    let remembered = reassembly.add(cut(1, count: 4, size: 2), 0)
    let forgotten = reassembly.add(cut(0, count: 4, size: 2), 0)
    #expect(remembered == .duplicate && forgotten == .incomplete)
  }

  @Test("What is removed is gone and begins anew")
  func removed() {
    var reassembly = Reassembly()
    let message = cut(1, count: 30, size: 10, kind: .reply)
    _ = reassembly.add(message, 0)
    reassembly.remove(message.key)
    reassembly.remove(message.key)
    #expect(reassembly.count == 0 && reassembly.heldBytes == 0)
    for (index, isLast) in [(2, false), (0, false), (1, true)] {
      let result = reassembly.add(message, index)
      #expect(result == (isLast ? .complete(message.bytes) : .incomplete))
    }
  }

  @Test("What a message is counted with: its bytes, itself and each piece that waits")
  func heldBytes() {
    var reassembly = Reassembly()
    _ = reassembly.add(1, packets: 5, index: 0, count: 10)
    #expect(reassembly.heldBytes == 10 + Reassembly.messageOverhead)
    _ = reassembly.add(1, packets: 5, index: 2, count: 10)
    #expect(
      reassembly.heldBytes == 20 + Reassembly.messageOverhead + Reassembly.pieceOverhead)
    _ = reassembly.add(1, packets: 5, index: 1, count: 10)
    #expect(reassembly.heldBytes == 30 + Reassembly.messageOverhead)
  }

  @Test("Without room a one-way message is given up, one of a tracked kind is refused for now")
  func noRoom() {
    for kind in Self.allKinds {
      var reassembly = Reassembly()
      let first = reassembly.add(
        1, kind, packets: 3, index: 0, count: 10, allowance: 10 + Reassembly.messageOverhead)
      #expect(first == .incomplete)
      let second = reassembly.add(1, kind, packets: 3, index: 1, count: 10, allowance: 9)
      #expect(second == (kind == .oneWay ? .drop(.memory) : .refused))
      #expect(reassembly.count == (kind == .oneWay ? 0 : 1))
      let freed = reassembly.takeFreed()
      #expect(freed == (kind == .oneWay ? 1 : 0))
      let third = reassembly.add(1, kind, packets: 3, index: 1, count: 10, allowance: 10)
      #expect(third == (kind == .oneWay ? .drop(.memory) : .incomplete))
      let fourth = reassembly.add(1, kind, packets: 3, index: 2, count: 10, allowance: 0)
      guard kind != .oneWay else { continue }
      #expect(fourth != .refused && reassembly.heldBytes == 0, "the last one always has room")
      let fifth = reassembly.add(
        2, kind, packets: 3, index: 0, count: 10, allowance: 9 + Reassembly.messageOverhead)
      #expect(fifth == .refused && reassembly.count == 0)
    }
  }

  @Test("Room is made by freeing what is not reliable and waits for longest")
  func makesRoom() {
    var reassembly = Reassembly()
    for (id, kind) in [(1, .reliable), (2, .oneWay), (3, .request)] as [(UInt32, PacketKind)] {
      _ = reassembly.add(id, kind, packets: 9, index: 0, count: 100)
    }
    _ = reassembly.add(2, packets: 9, index: 1, count: 100)
    let some = reassembly.add(4, packets: 9, index: 0, count: 100, allowance: 0)
    #expect(some == .incomplete && reassembly.takeFreed() == 1 && reassembly.count == 3)
    let gone = reassembly.add(3, .request, packets: 9, index: 1, count: 100)
    #expect(gone == .drop(.memory))
    let own = reassembly.add(2, packets: 9, index: 2, count: 100, allowance: 0)
    #expect(own == .incomplete && reassembly.takeFreed() == 1 && reassembly.count == 2)
    let reliable = reassembly.add(1, .reliable, packets: 9, index: 1, count: 100, allowance: 0)
    #expect(reliable == .incomplete && reassembly.takeFreed() == 1 && reassembly.count == 1)
    let none = reassembly.add(1, .reliable, packets: 9, index: 2, count: 100, allowance: 0)
    #expect(none == .refused && reassembly.takeFreed() == 0 && reassembly.count == 1)
  }

  @Test("At most 1024 messages are incomplete; the one that waits for longest goes")
  func bound() {
    var reassembly = Reassembly()
    for id in UInt32(0)..<1024 { _ = reassembly.add(id, packets: 2, index: 0, count: 1) }
    #expect(reassembly.count == 1024 && reassembly.takeFreed() == 0)
    let one = reassembly.add(2000, .reliable, packets: 2, index: 0, count: 1)
    #expect(one == .incomplete && reassembly.count == 1024 && reassembly.takeFreed() == 1)
    for id in UInt32(3000)..<4023 {
      _ = reassembly.add(id, .reliable, packets: 2, index: 0, count: 1)
    }
    #expect(reassembly.count == 1024 && reassembly.takeFreed() == 1023)
    let tracked = reassembly.add(9000, .reliable, packets: 2, index: 0, count: 1)
    let plain = reassembly.add(9001, packets: 2, index: 0, count: 1)
    #expect(tracked == .refused && plain == .drop(.memory) && reassembly.count == 1024)
  }

  @Test("A million first fragments keep to the allowance and to the number of messages")
  func hostile() {
    var random = SeededRandom(seed: 4)
    var reassembly = Reassembly()
    let bound = 100_000
    for step in 0..<1_000_000 {
      let kind = Self.allKinds[random.below(3)]
      _ = reassembly.add(
        UInt32(10 + step - random.below(5)), kind, packets: UInt16(2 + random.below(65533)),
        index: UInt16(random.below(3)), count: random.below(40),
        allowance: bound - reassembly.heldBytes)
      guard reassembly.heldBytes <= bound, reassembly.count <= 1024 else {
        Issue.record("\(reassembly.heldBytes) bytes in \(reassembly.count) messages")
        return
      }
    }
    #expect(reassembly.takeFreed() > 500_000)
    _ = reassembly.expire(at: start + .seconds(10))
    #expect(reassembly.heldBytes == 0 && reassembly.count == 0)
  }
}
