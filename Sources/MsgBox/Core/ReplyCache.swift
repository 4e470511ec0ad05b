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
package struct ReplyCache: ~Copyable {
  private struct Entry: BitwiseCopyable {
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

  private var ring = Block<UInt8>()
  /// Bytes written since the start; the next one's place is this modulo the size of the ring.
  private var written: UInt64 = 0
  private var ages = RingAges()
  private var table = Block<Entry>()
  private var newestAt = Instant(nanoseconds: 0)
  /// What it has grown by is taken from here.
  private let memory: RepeatMemory?
  private var taken = 0

  package init(memory: RepeatMemory? = nil) {
    self.memory = memory
  }

  deinit { memory?.give(taken) }

  /// What ring and table occupy.
  package var heldBytes: Int { ring.count + table.count * MemoryLayout<Entry>.stride }

  /// When nothing in it can be used any more, if nothing is added.
  var staleAt: Instant { newestAt + ReplyCache.lifetime + Interval(nanoseconds: 1) }

  /// Whether nothing in it can be used any more, so that it may be made anew when needed.
  package func isStale(at now: Instant) -> Bool {
    ring.isEmpty || now.since(newestAt) >= ReplyCache.lifetime
  }

  /// Keeps a reply that is sent now. One of more than 65535 bytes is not kept,
  /// nor one for which there is no memory.
  @inline(__always)
  package mutating func add(
    messageID: UInt32, replyID: UInt16, bytes: Span<UInt8>, at now: Instant
  ) {
    guard let count = UInt16(exactly: bytes.count) else { return }
    if !hasRoom(bytes.count) {
      makeRoom(bytes.count, at: now)
      guard bytes.count <= ring.count else { return }
    }
    if !hasPlace(messageID, at: now) { makePlace(messageID, at: now) }
    table[Int(messageID)] = Entry(
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
    let entry = table[Int(messageID)]
    guard entry.messageID == messageID, entry.replyID == replyID, isValid(entry, at: now) else {
      return .none
    }
    guard now >= entry.resendFrom else { return .tooSoon }
    table[Int(messageID)].resendFrom = now + max(now.since(entry.madeAt), ReplyCache.leastResendGap)
    read(entry, into: &reply)
    return .reply
  }

  /// What a smaller ring has overwritten was too old already.
  @inline(__always)
  private func isValid(_ entry: Entry, at now: Instant) -> Bool {
    entry.position <= written && written - entry.position <= UInt64(ring.count)
      && now.since(entry.madeAt) < ReplyCache.lifetime
  }

  /// Whether `count` more bytes stay in their quarter, and so overwrite nothing that was not given
  /// up before.
  @inline(__always)
  private func hasRoom(_ count: Int) -> Bool {
    let quarterSize = ring.count &>> 2
    return Int(truncatingIfNeeded: written) & (quarterSize &- 1) &+ count < quarterSize
  }

  /// Makes the ring as large as needed for `count` more bytes.
  @inline(never)
  private mutating func makeRoom(_ count: Int, at now: Instant) {
    if ring.isEmpty { ring = Block(repeating: 0, count: ReplyCache.leastBytes) }
    if hasRoom(count) { return }
    while ring.count < ReplyCache.maxBytes, count > ring.count || overwritesYoung(count, at: now),
      takeMemory(ring.count)
    {
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
    var old = Block<UInt8>(repeating: 0, count: ring.count * 2)
    swap(&old, &ring)
    var position = written - min(written, UInt64(old.count))
    while position < written {
      // Up to where either of them begins anew, which the smaller one does at each such place.
      let start = offset(position, in: old.count)
      let count = min(old.count - start, Int(clamping: written - position))
      ring.copy(
        old.span(start..<start + count), to: offset(position, in: ring.count))
      position += UInt64(count)
    }
  }

  @inline(__always)
  private func offset(_ position: UInt64, in size: Int) -> Int {
    Int(truncatingIfNeeded: position) & (size &- 1)
  }

  /// Whether the place of a reply is there, and free of any that can still be used.
  @inline(__always)
  private func hasPlace(_ messageID: UInt32, at now: Instant) -> Bool {
    // The largest table has room for each, if need be instead of another.
    if table.count == ReplyCache.maxEntries { return true }
    guard !table.isEmpty else { return false }
    let holder = table[Int(messageID)]
    return holder.messageID == messageID || !isValid(holder, at: now)
  }

  /// Doubles the table until no reply that can still be used loses its place, or it is as large as
  /// it may be.
  @inline(never)
  private mutating func makePlace(_ messageID: UInt32, at now: Instant) {
    if table.isEmpty { table = Block(repeating: Entry(), count: ReplyCache.leastEntries) }
    while !hasPlace(messageID, at: now), takeMemory(table.count * MemoryLayout<Entry>.stride) {
      var entries = Block(repeating: Entry(), count: table.count * 2)
      swap(&entries, &table)
      for place in 0..<entries.count where isValid(entries[place], at: now) {
        table[Int(entries[place].messageID)] = entries[place]
      }
    }
  }

  /// False if the box has no room for so many more bytes.
  private mutating func takeMemory(_ bytes: Int) -> Bool {
    guard memory?.take(bytes) ?? true else { return false }
    taken += bytes
    return true
  }

  @inline(__always)
  private mutating func write(_ bytes: Span<UInt8>) {
    let start = offset(written, in: ring.count)
    let first = ring.count &- start
    if bytes.count <= first {
      ring.copy(bytes, to: start)
    } else {
      ring.copy(bytes.extracting(0..<first), to: start)
      ring.copy(bytes.extracting(first..<bytes.count), to: 0)
    }
    written &+= UInt64(bytes.count)
  }

  private func read(_ entry: Entry, into reply: inout [UInt8]) {
    let start = offset(entry.position, in: ring.count)
    let first = min(Int(entry.count), ring.count - start)
    reply.removeAll(keepingCapacity: true)
    reply.append(bytes: ring.span(start..<start + first))
    reply.append(bytes: ring.span(0..<Int(entry.count) - first))
  }
}
