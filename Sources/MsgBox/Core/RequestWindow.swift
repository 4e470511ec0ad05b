/// The ids of the requests of a session that were received, one bit each: what makes a request
/// reach the program at most once however often it arrives.
///
/// Ids are compared by serial arithmetic (RFC 1982). The window ends with the largest id; what lies
/// before it counts as received, because nobody can tell. It begins with 1024 ids and is doubled,
/// up to 1 048 576, while ids younger than 10 s would leave it and the box has memory for that.
package struct RequestWindow: ~Copyable {
  package static let leastSize = 1024
  package static let maxSize = 1_048_576

  /// Bit id & (size - 1); empty before the first id.
  private var words = Block<UInt64>()
  /// Bit index & 63 of element index >> 6: whether `words[index]` may be other than 0. So a jump to
  /// a far id, of which a peer can put many into one datagram, need not walk the whole ring.
  private var used = Block<UInt64>()
  /// The largest id received.
  private var newest: UInt32 = 0
  /// The size is 2 to the power of it.
  private var sizeBits: UInt32 = 10
  private var ages = RingAges()
  /// What it has grown by is taken from here.
  private let memory: RepeatMemory?
  private var taken = 0

  package init(memory: RepeatMemory? = nil) {
    self.memory = memory
  }

  deinit { memory?.give(taken) }

  /// A window for a session whose first request to arrive has this id. Ids count from 0, other
  /// messages have some of them, and up to 65535 requests may be on their way at once: those not far
  /// before it are not old, only late.
  package init(startingWith id: UInt32, memory: RepeatMemory? = nil, at now: Instant) {
    self.memory = memory
    var size = RequestWindow.leastSize
    while size <= Int(min(id, UInt32(UInt16.max))), takeDouble(size) {
      size *= 2
      sizeBits += 1
    }
    makeWords(size / 64)
    newest = id
    let before = min(quarter, 3)
    ages.enter(before, from: quarter - before, at: now)
  }

  /// Whether no id was received.
  @inline(__always)
  package var isEmpty: Bool { words.isEmpty }

  /// How many ids it remembers.
  package var size: Int { words.count * 64 }

  package var heldBytes: Int { words.count * 8 }

  /// Whether an id was received before, or is older than the window and so may have been.
  @inline(__always)
  package func contains(_ id: UInt32) -> Bool {
    guard !words.isEmpty else { return false }
    let distance = Int32(bitPattern: id &- newest)
    if distance > 0 { return false }
    guard distance.magnitude < UInt32(truncatingIfNeeded: size) else { return true }
    return words[word(id)] & RequestWindow.bit(id) != 0
  }

  /// Notes an id that was received; false, and nothing changes, if it is known or older than the
  /// window.
  @inline(__always)
  package mutating func insert(_ id: UInt32, at now: Instant) -> Bool {
    // As they come in order. Its own bit is all that is passed over.
    guard id &- newest == 1, id & (1 &<< (sizeBits &- 2) &- 1) != 0, !words.isEmpty else {
      return insertOutOfOrder(id, at: now)
    }
    newest = id
    note(id)
    return true
  }

  @inline(never)
  private mutating func insertOutOfOrder(_ id: UInt32, at now: Instant) -> Bool {
    if words.isEmpty {
      makeWords(RequestWindow.leastSize / 64)
      newest = id
    } else if Int32(bitPattern: id &- newest) > 0 {
      advance(to: id, at: now)
    } else if contains(id) {
      return false
    }
    note(id)
    return true
  }

  @inline(__always)
  private mutating func note(_ id: UInt32) {
    let word = word(id)
    words[word] |= RequestWindow.bit(id)
    used[word &>> 6] |= 1 &<< UInt64(word & 63)
  }

  private mutating func makeWords(_ count: Int) {
    words = Block(repeating: 0, count: count)
    used = Block(repeating: 0, count: max(count / 64, 1))
  }

  private static func bit(_ id: UInt32) -> UInt64 { 1 &<< UInt64(id & 63) }

  @inline(__always)
  private func word(_ id: UInt32) -> Int {
    Int(truncatingIfNeeded: id >> 6) & (words.count &- 1)
  }

  /// How many quarters of the ring begin behind `newest`, up to `id`.
  private func quarters(to id: UInt32) -> UInt64 {
    let quarterBits = sizeBits - 2
    let offset = UInt64(newest & (1 << quarterBits - 1))
    return (offset + UInt64(id &- newest)) >> UInt64(quarterBits)
  }

  private var quarter: UInt64 { UInt64(newest >> (sizeBits - 2)) }

  /// Moves the end of the window to a larger id.
  private mutating func advance(to id: UInt32, at now: Instant) {
    if quarters(to: id) > 0 {
      // No window could keep anything before a jump of the largest one.
      if id &- newest < UInt32(RequestWindow.maxSize) { grow(for: id, at: now) }
      ages.enter(quarters(to: id), from: quarter, at: now)
    }
    clear(to: id)
    newest = id
  }

  /// Forgets the ids that the ones up to `id` take the places of.
  private mutating func clear(to id: UInt32) {
    let count = id &- newest
    guard Int(truncatingIfNeeded: count) < size else {
      return clearWords(from: 0, count: words.count)
    }
    let first = min(count, 64 - (newest &+ 1) & 63)
    clearBits(from: newest &+ 1, count: first)
    let wholeWords = (count - first) / 64
    let next = newest &+ 1 &+ first
    clearWords(from: word(next), count: Int(truncatingIfNeeded: wholeWords))
    clearBits(from: next &+ wholeWords * 64, count: (count - first) % 64)
  }

  /// Clears at most 64 bits of one word.
  private mutating func clearBits(from id: UInt32, count: UInt32) {
    let mask = count == 64 ? UInt64.max : 1 << UInt64(count) - 1
    words[word(id)] &= ~(mask << UInt64(id & 63))
  }

  /// Clears words of the ring, touching only those in use.
  private mutating func clearWords(from start: Int, count: Int) {
    var index = start
    var left = count
    while left > 0 {
      let offset = index & 63
      let taken = min(left, 64 - offset, words.count - index)
      let mask = (taken == 64 ? UInt64.max : 1 << UInt64(taken) - 1) << UInt64(offset)
      var inUse = used[index >> 6] & mask
      used[index >> 6] &= ~mask
      while inUse != 0 {
        words[index - offset + inUse.trailingZeroBitCount] = 0
        inUse &= inUse - 1
      }
      index = (index + taken) & (words.count - 1)
      left -= taken
    }
  }

  private mutating func grow(for id: UInt32, at now: Instant) {
    while size < RequestWindow.maxSize,
      ages.overwritesYoung(from: quarter, entering: quarters(to: id), at: now), takeDouble(size)
    {
      double()
    }
  }

  /// Takes what a window of `size` ids needs to be doubled; false if the box has no room for it.
  private mutating func takeDouble(_ size: Int) -> Bool {
    guard memory?.take(size / 8) ?? true else { return false }
    taken += size / 8
    return true
  }

  /// Doubles the window. What lay before it is not known, so it stays noted as received.
  private mutating func double() {
    var doubled = Block<UInt64>(repeating: .max, count: words.count * 2)
    let mask = doubled.count - 1
    let newestWord = Int(truncatingIfNeeded: newest >> 6)
    for back in 1..<words.count {
      doubled[(newestWord &- back) & mask] = words[(newestWord &- back) & (words.count - 1)]
    }
    // One word has the newest ids in its low bits and the oldest ones in the others.
    let newer = UInt64.max >> UInt64(63 - newest & 63)
    let shared = words[word(newest)]
    doubled[newestWord & mask] = shared & newer
    doubled[(newestWord &- words.count) & mask] = shared | newer
    used = Block(repeating: .max, count: max(doubled.count / 64, 1))
    words = doubled
    ages.double(in: quarter)
    sizeBits += 1
  }
}
