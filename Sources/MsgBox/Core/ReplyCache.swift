/// What a cache of replies has for a request that came again.
package enum CachedReply: Equatable, Sendable {
  /// Its reply is not made yet, or not kept any more.
  case none
  /// The reply was sent again less than a second ago.
  case tooSoon
  case reply
}

/// The latest replies of a session, each of at most one packet, for requests that come again:
/// within 256 KiB and 10 s.
///
/// Their bytes lie in a ring and are found by a table that the request's id is the index of. Both
/// grow to need, and nothing is taken out one by one: a reply is gone when its bytes are
/// overwritten, its place in the table is taken or its time is over.
package struct ReplyCache {
  private struct Entry {
    var messageID: UInt32 = 0
    var replyID: UInt16 = 0
    var count: UInt16 = 0
    /// How many bytes had been written before it; the largest number in a place that is free.
    var position = UInt64.max
    var madeAt = Instant(nanoseconds: 0)
    /// Earlier than this it is not sent again.
    var resendFrom = Instant(nanoseconds: 0)
  }

  package static let maxBytes = 262_144
  package static let maxEntries = 4096
  package static let lifetime = RingAges.lifetime
  /// Between two times that a reply is sent again lies what it was old the first time, and at least
  /// this: as the copies of its request come at twice the distance each time, each can be answered,
  /// and no more than 11 in all.
  package static let leastResendGap = Interval.milliseconds(16)
  private static let leastBytes = 4096
  private static let leastEntries = 16

  private var ring: [UInt8] = []
  /// Bytes written since the start; the next one's place is this modulo the size of the ring.
  private var written: UInt64 = 0
  private var ages = RingAges()
  private var table: [Entry] = []
  private var newestAt = Instant(nanoseconds: 0)

  package init() {}

  /// What ring and table occupy.
  package var heldBytes: Int { ring.count + table.count * MemoryLayout<Entry>.stride }

  /// When nothing in it can be used any more, if nothing is added.
  var staleAt: Instant { newestAt + ReplyCache.lifetime + Interval(nanoseconds: 1) }

  /// Whether nothing in it can be used any more, so that it may be made anew when needed.
  package func isStale(at now: Instant) -> Bool {
    ring.isEmpty || now.since(newestAt) >= ReplyCache.lifetime
  }

  /// Keeps a reply that is sent now. One of more than 65535 bytes is not kept.
  package mutating func add(
    messageID: UInt32, replyID: UInt16, bytes: Span<UInt8>, at now: Instant
  ) {
    guard let count = UInt16(exactly: bytes.count) else { return }
    makeRoom(bytes.count, at: now)
    makePlace(messageID, at: now)
    table[place(messageID)] = Entry(
      messageID: messageID, replyID: replyID, count: count, position: written, madeAt: now,
      resendFrom: now)
    newestAt = now
    write(bytes)
  }

  /// Looks for the reply to a request that came again. If it is there and may be sent again now, it
  /// takes the place of what `reply` held, and counts as sent.
  package mutating func take(
    messageID: UInt32, replyID: UInt16, at now: Instant, into reply: inout [UInt8]
  ) -> CachedReply {
    guard !table.isEmpty else { return .none }
    let place = place(messageID)
    let entry = table[place]
    guard entry.messageID == messageID, entry.replyID == replyID, isValid(entry, at: now) else {
      return .none
    }
    guard now >= entry.resendFrom else { return .tooSoon }
    table[place].resendFrom = now + max(now.since(entry.madeAt), ReplyCache.leastResendGap)
    read(entry, into: &reply)
    return .reply
  }

  private func place(_ messageID: UInt32) -> Int {
    Int(truncatingIfNeeded: messageID) & (table.count - 1)
  }

  /// What a smaller ring has overwritten was too old already.
  private func isValid(_ entry: Entry, at now: Instant) -> Bool {
    entry.position <= written && written - entry.position <= UInt64(ring.count)
      && now.since(entry.madeAt) < ReplyCache.lifetime
  }

  /// Makes the ring as large as needed for `count` more bytes.
  private mutating func makeRoom(_ count: Int, at now: Instant) {
    if ring.isEmpty { ring = Array(repeating: 0, count: ReplyCache.leastBytes) }
    // What stays in its quarter overwrites nothing that was not given up before.
    if count <= ring.count, quarters(count) == 0 { return }
    while ring.count < ReplyCache.maxBytes, count > ring.count || overwritesYoung(count, at: now) {
      doubleRing()
    }
    let entered = quarters(count)
    if entered > 0 { ages.enter(entered, from: quarter, at: now) }
  }

  /// The size of a quarter is 2 to the power of it.
  private var quarterBits: Int { ring.count.trailingZeroBitCount - 2 }

  private var quarter: UInt64 { written >> quarterBits }

  /// How many quarters of the ring the next `count` bytes begin.
  private func quarters(_ count: Int) -> UInt64 {
    (written &+ UInt64(truncatingIfNeeded: count)) >> quarterBits &- quarter
  }

  private func overwritesYoung(_ count: Int, at now: Instant) -> Bool {
    ages.overwritesYoung(from: quarter, entering: quarters(count), at: now)
  }

  private mutating func doubleRing() {
    ages.double(in: quarter)
    let old = ring
    ring = [UInt8](repeating: 0, count: old.count * 2)
    var position = written - min(written, UInt64(old.count))
    while position < written {
      // Up to where either of them begins anew, which the smaller one does at each such place.
      let start = offset(position, in: old.count)
      let count = min(old.count - start, Int(clamping: written - position))
      copy(
        old.span.extracting(start..<start + count), to: offset(position, in: ring.count))
      position += UInt64(count)
    }
  }

  private func offset(_ position: UInt64, in size: Int) -> Int {
    Int(truncatingIfNeeded: position) & (size - 1)
  }

  /// Doubles the table until no reply that can still be used loses its place, or it is as large as
  /// it may be.
  private mutating func makePlace(_ messageID: UInt32, at now: Instant) {
    if table.isEmpty { table = Array(repeating: Entry(), count: ReplyCache.leastEntries) }
    while table.count < ReplyCache.maxEntries {
      let holder = table[place(messageID)]
      if holder.messageID == messageID || !isValid(holder, at: now) { return }
      let entries = table
      table = Array(repeating: Entry(), count: entries.count * 2)
      for entry in entries where isValid(entry, at: now) { table[place(entry.messageID)] = entry }
    }
  }

  private mutating func write(_ bytes: Span<UInt8>) {
    let start = offset(written, in: ring.count)
    let first = ring.count - start
    if bytes.count <= first {
      copy(bytes, to: start)
    } else {
      copy(bytes.extracting(0..<first), to: start)
      copy(bytes.extracting(first..<bytes.count), to: 0)
    }
    written += UInt64(bytes.count)
  }

  private mutating func copy(_ bytes: Span<UInt8>, to start: Int) {
    guard !bytes.isEmpty, start + bytes.count <= ring.count else { return }
    // One block copy; the bounds are checked above, and no pointer leaves its closure.
    unsafe ring.withUnsafeMutableBytes { target in
      unsafe bytes.withUnsafeBytes { source in
        let room = unsafe target[start..<start + source.count]
        unsafe UnsafeMutableRawBufferPointer(rebasing: room).copyMemory(from: source)
      }
    }
  }

  private func read(_ entry: Entry, into reply: inout [UInt8]) {
    let start = offset(entry.position, in: ring.count)
    let first = min(Int(entry.count), ring.count - start)
    reply.removeAll(keepingCapacity: true)
    reply.append(bytes: ring.span.extracting(start..<start + first))
    reply.append(bytes: ring.span.extracting(0..<Int(entry.count) - first))
  }
}
