import MsgBox
import Testing

@Suite("The cache of replies")
struct ReplyCacheTests {
  private let start = Instant(nanoseconds: 0)

  /// The reply that may be sent again; nil if there is none or it is too soon.
  private func taken(
    _ cache: inout ReplyCache, _ id: UInt32, replyID: UInt16 = 1, at now: Instant
  ) -> [UInt8]? {
    var reply: [UInt8] = [99]
    let found = cache.take(messageID: id, replyID: replyID, at: now, into: &reply)
    if found != .reply { #expect(reply == [99]) }
    return found == .reply ? reply : nil
  }

  @Test("A reply is found by both its ids, also an empty one")
  func found() {
    var cache = ReplyCache()
    #expect(taken(&cache, 0, replyID: 0, at: start) == nil && cache.heldBytes == 0)
    cache.add(messageID: 7, replyID: 1, bytes: [1, 2, 3].span, at: start)
    cache.add(messageID: 8, replyID: 2, bytes: [UInt8]().span, at: start)
    #expect(taken(&cache, 7, replyID: 2, at: start) == nil)
    #expect(taken(&cache, 6, at: start) == nil && taken(&cache, 23, at: start) == nil)
    #expect(taken(&cache, 7, at: start) == [1, 2, 3])
    #expect(taken(&cache, 8, replyID: 2, at: start) == [])
  }

  @Test("It is sent again at once, and then when it is twice as old as the last time")
  func doubling() {
    var cache = ReplyCache()
    var reply: [UInt8] = []
    cache.add(messageID: 7, replyID: 1, bytes: [5].span, at: start)
    for (after, expected): (UInt64, CachedReply) in [
      (0, .reply), (15, .tooSoon), (16, .reply), (31, .tooSoon), (32, .reply), (100, .reply),
      (199, .tooSoon), (200, .reply), (5500, .reply), (9999, .tooSoon), (10_000, .none),
    ] {
      let now = start + .milliseconds(after)
      #expect(cache.take(messageID: 7, replyID: 1, at: now, into: &reply) == expected)
    }
  }

  @Test("After 10 s it is gone, and a cache of nothing newer is stale")
  func age() {
    var cache = ReplyCache()
    #expect(cache.isStale(at: start) == true)
    cache.add(messageID: 7, replyID: 1, bytes: [5].span, at: start)
    cache.add(messageID: 8, replyID: 1, bytes: [6].span, at: start + .milliseconds(1))
    let end = start + .seconds(10)
    #expect(taken(&cache, 7, at: Instant(nanoseconds: 9_999_999_999)) == [5])
    #expect(taken(&cache, 7, at: end) == nil && taken(&cache, 8, at: end) == [6])
    #expect(!cache.isStale(at: end) && cache.isStale(at: end + .milliseconds(1)))
  }

  @Test("Ring and table stay small for few replies and slow ones")
  func small() {
    var cache = ReplyCache()
    for id in UInt32(0)..<10_000 {
      cache.add(
        messageID: id, replyID: 1, bytes: [UInt8](repeating: 1, count: 200).span,
        at: start + .seconds(UInt64(id)))
    }
    #expect(cache.heldBytes <= 4096 + 16 * 64)
  }

  @Test("The bytes of 256 KiB are kept, and not one more")
  func bytes() {
    var cache = ReplyCache()
    let reply = [UInt8](repeating: 7, count: 1024)
    for id in UInt32(0)..<256 { cache.add(messageID: id, replyID: 1, bytes: reply.span, at: start) }
    #expect(taken(&cache, 0, at: start) == reply && taken(&cache, 255, at: start) == reply)
    cache.add(messageID: 256, replyID: 1, bytes: [1].span, at: start)
    #expect(taken(&cache, 0, at: start) == nil && taken(&cache, 1, at: start) == reply)
    let large = [UInt8](repeating: 8, count: 65535)
    cache.add(messageID: 257, replyID: 1, bytes: large.span, at: start)
    #expect(taken(&cache, 257, at: start) == large)
    cache.add(
      messageID: 258, replyID: 1, bytes: [UInt8](repeating: 9, count: 65536).span, at: start)
    #expect(taken(&cache, 258, at: start) == nil)
  }

  @Test("The table keeps 4096 ids in a row, and not one more")
  func entries() {
    var cache = ReplyCache()
    for id in UInt32(0)..<4096 { cache.add(messageID: id, replyID: 1, bytes: [1].span, at: start) }
    #expect((UInt32(0)..<4096).allSatisfy { taken(&cache, $0, at: start) == [1] })
    cache.add(messageID: 4096, replyID: 1, bytes: [2].span, at: start)
    #expect(taken(&cache, 0, at: start) == nil && taken(&cache, 4096, at: start) == [2])
  }

  private struct Made {
    var replyID: UInt16
    var bytes: [UInt8]
    var at: UInt64
    var total: Int
    var resent: UInt64?
  }

  @Test("Random replies and questions: what is found is right, and what must be kept is found")
  func model() {
    for seed in UInt64(0)..<6 {
      var random = SeededRandom(seed: seed)
      var cache = ReplyCache()
      var made: [UInt32: Made] = [:]
      var total = 0
      var now: UInt64 = 0
      var next = UInt32.max - 1000
      for step in 0..<8000 {
        if step % 1000 == 0, random.chance(500) { now += 4000 }
        now += UInt64(random.below(3) * random.below(seed % 2 == 0 ? 2 : 30))
        let at = start + .milliseconds(now)
        if random.chance(600) {
          let bytes = random.bytes(random.below(random.chance(100) ? 1181 : 90))
          next &+= UInt32(1 + random.below(2))
          let replyID = UInt16(random.below(65536))
          cache.add(messageID: next, replyID: replyID, bytes: bytes.span, at: at)
          made[next &- 4096] = nil
          made[next] = Made(replyID: replyID, bytes: bytes, at: now, total: total)
          total += bytes.count
          continue
        }
        let id = next &- UInt32(random.below(random.chance(300) ? 4200 : 40))
        var reply: [UInt8] = []
        let found = cache.take(
          messageID: id, replyID: made[id]?.replyID ?? 0, at: at, into: &reply)
        guard let known = made[id] else {
          #expect(found == .none)
          continue
        }
        let isSoon = known.resent.map { now - $0 < max($0 - known.at, 16) } ?? false
        let isKept = now - known.at < 10_000 && total - known.total <= 262_144
        if found == .none { #expect(!isKept, "the reply to \(id) is missing") }
        if found == .tooSoon { #expect(isSoon) }
        if found == .reply {
          #expect(reply == known.bytes && !isSoon && now - known.at < 10_000)
          made[id]?.resent = now
        }
      }
      #expect(cache.heldBytes <= 262_144 + 4096 * 32)
    }
  }

  @Test("A million replies with any ids keep to the bounds")
  func hostile() {
    var random = SeededRandom(seed: 9)
    var cache = ReplyCache()
    let bytes = random.bytes(300)
    for step in 0..<1_000_000 {
      let id = UInt32(truncatingIfNeeded: random.word())
      cache.add(messageID: id, replyID: 1, bytes: bytes.span, at: start)
      if step % 10_000 == 0 { #expect(taken(&cache, id, at: start) == bytes) }
    }
    #expect(cache.heldBytes <= 262_144 + 4096 * 32)
  }
}
