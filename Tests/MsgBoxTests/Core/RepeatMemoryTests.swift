import MsgBox
import Testing

@Suite("The memory of requests that come again")
struct RepeatMemoryTests {
  private let start = Instant(nanoseconds: 0)

  @Test("A window and a cache grow while the box has room, and give it back")
  func room() {
    let memory = RepeatMemory(most: 20_000)
    do {
      var window = RequestWindow(startingWith: 7, memory: memory, at: start)
      for id: UInt32 in [7, 1_000_000] { _ = window.insert(id, at: start) }
      #expect(window.heldBytes == 16_384 && memory.used == 16_384 - 128)
      var cache = ReplyCache(memory: memory)
      for id: UInt32 in [0, 2048] {
        cache.add(messageID: id, replyID: 1, bytes: [UInt8](repeating: 1, count: 9).span, at: start)
      }
      #expect(memory.used <= 20_000)
      var reply: [UInt8] = []
      #expect(cache.take(messageID: 2048, replyID: 1, at: start, into: &reply) == .reply)
      #expect(cache.take(messageID: 0, replyID: 1, at: start, into: &reply) == .none)
      for id in UInt32(0)..<300 {
        cache.add(
          messageID: id, replyID: 1, bytes: [UInt8](repeating: 1, count: 1100).span, at: start)
      }
      #expect(memory.used <= 20_000)
      // One that no ring which there is memory for could hold.
      let large = [UInt8](repeating: 1, count: 9000)
      cache.add(messageID: 500, replyID: 1, bytes: large.span, at: start)
      #expect(cache.take(messageID: 500, replyID: 1, at: start, into: &reply) == .none)
    }
    #expect(memory.used == 0)
  }

  @Test("Without room each id is new once all the same, and what comes in order is new")
  func withoutRoom() {
    let memory = RepeatMemory(most: 0)
    var window = RequestWindow(startingWith: 70_000, memory: memory, at: start)
    var random = SeededRandom(seed: 3)
    var seen: Set<UInt32> = []
    var newest: UInt32 = 70_000
    for _ in 0..<100_000 {
      let isFar = random.chance(10)
      let id = newest &+ UInt32(random.below(isFar ? 1_000_000 : 40)) &- 10
      let isNew = window.insert(id, at: start)
      #expect(!isNew || seen.insert(id).inserted)
      #expect(isNew || id <= newest)
      newest = max(newest, id)
    }
    #expect(window.heldBytes == 128 && memory.used == 0)
  }

  @Test("Sessions that ask for much by few requests take no more than the box has for all")
  func box() throws {
    let raw = try RawServer()
    var limits = BoxLimits()
    limits.receiveBytes = 1_000_000
    let isSet = raw.server.endpoint.setLimits(limits)
    #expect(isSet)
    raw.server.onEvent = { node, event in
      if event.kind == .request { _ = node.answer("yes", to: event.request) }
    }
    for own in UInt64(1)...40 {
      let session = try #require(
        raw.stranger.shakeHands(with: raw.address, own: own, in: raw.simulation))
      for (index, id) in [UInt32(0), 2048, 1_000_000].enumerated() {
        raw.stranger.send(
          RawPacket.request(session, replyID: UInt16(index + 1), messageID: id, [1]),
          to: raw.address)
      }
    }
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.server.log.count(.request) == 120)
    let used = raw.server.endpoint.repeatMemory.used
    #expect(used > 500_000 && used <= 1_000_000)
    finishAll(raw.simulation)
    let left = raw.server.endpoint.repeatMemory.used
    #expect(left == 0)
  }
}
