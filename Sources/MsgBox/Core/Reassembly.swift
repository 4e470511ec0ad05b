/// Names a message of several packets within its session and direction.
package struct FragmentKey: Hashable, Sendable {
  /// oneWay, request, reply or reliable.
  package var kind: PacketKind
  package var messageID: UInt32

  package init(kind: PacketKind, messageID: UInt32) {
    self.kind = kind
    self.messageID = messageID
  }

  /// Whether its datagrams are sent until they are acknowledged, so that one may be refused: of all
  /// kinds but oneWay.
  package var isTracked: Bool { kind != .oneWay }

  var isReliable: Bool { kind == .reliable }
  var packed: UInt64 { UInt64(kind.rawValue) << 32 | UInt64(messageID) }
}

/// What became of a fragment.
package enum Assembly: Equatable, Sendable {
  /// It is kept; others of its message are missing.
  case incomplete
  /// It, or the whole message, was received before.
  case duplicate
  /// It was the last that was missing: the bytes of the message.
  case complete([UInt8])
  /// It is dropped, and its message can not become complete any more: fragment or tooBig for what
  /// the peer did wrong, memory if there is no room.
  case drop(DropReason)
  /// There is no room for it now: its datagram must not be acknowledged. Only of tracked kinds.
  case refused

  /// Whether room was missing.
  var isForRoom: Bool {
    switch self {
    case .refused, .drop(.memory): true
    default: false
    }
  }
}

/// The messages of one connection that are received in part.
///
/// It holds bytes received and never what a number from the wire announces. A message that breaks a
/// rule or is given up is remembered for a while, so that what comes of it later is dropped.
package struct Reassembly {
  /// Incomplete messages of a connection.
  package static let maxMessages = 1024
  /// What a message is counted with besides its bytes, so that empty fragments cannot hold much for
  /// nothing; and what a piece that waits for one before it is.
  package static let messageOverhead = 256
  package static let pieceOverhead = 64
  /// An incomplete message that is not reliable is freed that long after its last new fragment.
  package static let lifetime = Interval.seconds(10)

  private let table = Shared(Slab<IncompleteMessage>(maxSlots: Reassembly.maxMessages))
  private var messages: Slab<IncompleteMessage> {
    _read { yield table.value }
    nonmutating _modify { yield &table.value }
  }
  /// Slots by packed key.
  private var slots: [UInt64: Int] = [:]
  /// The slot of the last fragment, which mostly is that of the next.
  private var latest: Int?
  /// Those that got nothing new for longest come first.
  private var expiring = SlotList()
  private var reliable = SlotList()
  private var finished = FinishedMessages()
  /// Bytes held, with the overhead of each message and of each piece that waits.
  package private(set) var heldBytes = 0
  private var freed = 0

  package init() {}

  /// Incomplete messages.
  package var count: Int { messages.count }

  /// How many incomplete messages were freed to make room since the last call.
  package mutating func takeFreed() -> Int {
    defer { freed = 0 }
    return freed
  }

  /// When `expire` frees the next message, unless it gets something new.
  package var nextExpiry: Instant? {
    expiring.first.map { messages[$0].progressAt + Reassembly.lifetime }
  }

  /// When the incomplete reliable message that waits for longest last got something new.
  package var oldestReliableProgress: Instant? {
    reliable.first.map { messages[$0].progressAt }
  }

  /// Whether a message is incomplete: a fragment of it is held.
  package func contains(_ key: FragmentKey) -> Bool { slot(key) != nil }

  /// Takes the payload of one fragment.
  ///
  /// `largest` is the largest message that is accepted, in bytes. `allowance` is by how much
  /// `heldBytes` may grow; for more, the messages that are not reliable and wait for longest are
  /// freed, which `takeFreed` counts. The fragment that completes a message always has room, if that
  /// `isDeliveredAtOnce` and does not wait for others. Memory comes from `buffers`, and goes
  /// back there when a message has outgrown it.
  package mutating func add(
    _ key: FragmentKey, replyID: UInt16, numPackets: UInt16, packetID: UInt16,
    payload: Span<UInt8>, largest: Int, allowance: Int, isDeliveredAtOnce: Bool = true,
    buffers: inout LargeBuffers, at now: Instant
  ) -> Assembly {
    let fragment = Fragment(
      replyID: replyID, numPackets: numPackets, packetID: packetID, count: payload.count)
    guard let slot = slot(key) else {
      return begin(
        key, fragment, payload: payload, largest: largest, allowance: allowance,
        buffers: &buffers, at: now)
    }
    if fragment.count <= allowance, messages[slot].isContinued(by: fragment, largest: largest) {
      return take(fragment, payload, into: slot, &buffers, at: now)
    }
    if messages[slot].has(packetID), messages[slot].matches(fragment) { return .duplicate }
    if let reason = messages[slot].objection(to: fragment, largest: largest) {
      kill(slot, reason)
      return .drop(reason)
    }
    if !isDeliveredAtOnce || !messages[slot].isCompleted(by: fragment) {
      let cost = messages[slot].cost(of: fragment)
      guard makeRoom(cost, allowance: allowance, sparing: slot) else {
        return noRoom(key, slot: slot)
      }
    }
    return take(fragment, payload, into: slot, &buffers, at: now)
  }

  /// Frees an incomplete message that nobody waits for any more.
  package mutating func remove(_ key: FragmentKey) {
    if let slot = slot(key) { free(slot) }
  }

  /// Frees the incomplete messages but reliable ones that got nothing new for 10 s, and tells how
  /// many they were.
  package mutating func expire(at now: Instant) -> Int {
    var count = 0
    while let slot = expiring.first, messages[slot].progressAt + Reassembly.lifetime <= now {
      free(slot)
      count += 1
    }
    return count
  }

  /// Frees the incomplete messages that are not reliable, for want of room, and tells how many they
  /// were.
  mutating func giveUpUnreliable() -> Int {
    while let slot = expiring.first { giveUp(slot) }
    return takeFreed()
  }

  private func slot(_ key: FragmentKey) -> Int? {
    if let latest, messages[latest].key == key { return latest }
    return slots[key.packed]
  }

  /// The first fragment of a message.
  private mutating func begin(
    _ key: FragmentKey, _ fragment: Fragment, payload: Span<UInt8>, largest: Int, allowance: Int,
    buffers: inout LargeBuffers, at now: Instant
  ) -> Assembly {
    if let end = finished.end(of: key) { return end }
    let message = IncompleteMessage(key, fragment, at: now)
    if let reason = message.objection(to: fragment, largest: largest) {
      finished.note(key, .drop(reason))
      return .drop(reason)
    }
    let cost = Reassembly.messageOverhead + message.cost(of: fragment)
    guard makeRoom(cost, allowance: allowance, sparing: nil), makePlace(),
      let slot = messages.insert(message)
    else { return noRoom(key, slot: nil) }
    heldBytes += Reassembly.messageOverhead
    slots[key.packed] = slot
    link(slot)
    return take(fragment, payload, into: slot, &buffers, at: now)
  }

  private mutating func take(
    _ fragment: Fragment, _ payload: Span<UInt8>, into slot: Int, _ buffers: inout LargeBuffers,
    at now: Instant
  ) -> Assembly {
    let before = messages[slot].heldBytes
    messages[slot].take(fragment, payload, &buffers)
    messages[slot].progressAt = now
    heldBytes += messages[slot].heldBytes - before
    guard messages[slot].isComplete else {
      latest = slot
      moveToEnd(slot)
      return .incomplete
    }
    let key = messages[slot].key
    heldBytes -= messages[slot].heldBytes
    let bytes = messages[slot].takeBytes()
    free(slot)
    finished.note(key, .duplicate)
    return .complete(bytes)
  }

  /// Makes `heldBytes` able to grow by `cost`, if need be by freeing what waits for longest and is
  /// neither reliable nor `spared`.
  private mutating func makeRoom(_ cost: Int, allowance: Int, sparing spared: Int?) -> Bool {
    if cost <= allowance { return true }
    var allowance = allowance
    while cost > allowance, let slot = longestWaiting(but: spared) {
      allowance += messages[slot].heldBytes + Reassembly.messageOverhead
      giveUp(slot)
    }
    return cost <= allowance
  }

  /// The message that is not reliable, nor `spared`, and got nothing new for longest.
  private func longestWaiting(but spared: Int?) -> Int? {
    guard let first = expiring.first, first == spared else { return expiring.first }
    let next = messages[first].links.next
    return next == ConnectionRecord.noSlot ? nil : Int(next)
  }

  /// Makes a place for one more message.
  private mutating func makePlace() -> Bool {
    if messages.count < Reassembly.maxMessages { return true }
    guard let slot = expiring.first else { return false }
    giveUp(slot)
    return true
  }

  /// A fragment finds no room. Its message goes if nobody will send the fragment again.
  private mutating func noRoom(_ key: FragmentKey, slot: Int?) -> Assembly {
    if key.isTracked { return .refused }
    if let slot {
      giveUp(slot)
    } else {
      finished.note(key, .drop(.memory))
    }
    return .drop(.memory)
  }

  /// Frees an incomplete message for want of room.
  private mutating func giveUp(_ slot: Int) {
    kill(slot, .memory)
    freed += 1
  }

  private mutating func kill(_ slot: Int, _ reason: DropReason) {
    finished.note(messages[slot].key, .drop(reason))
    free(slot)
  }

  private mutating func free(_ slot: Int) {
    heldBytes -= messages[slot].heldBytes + Reassembly.messageOverhead
    slots[messages[slot].key.packed] = nil
    if latest == slot { latest = nil }
    unlink(slot)
    messages.remove(slot)
  }

  private mutating func link(_ slot: Int) {
    if messages[slot].key.isReliable {
      messages.append(slot, to: &reliable)
    } else {
      messages.append(slot, to: &expiring)
    }
  }

  private mutating func unlink(_ slot: Int) {
    if messages[slot].key.isReliable {
      messages.unlink(slot, from: &reliable)
    } else {
      messages.unlink(slot, from: &expiring)
    }
  }

  private mutating func moveToEnd(_ slot: Int) {
    let list = messages[slot].key.isReliable ? reliable : expiring
    guard list.last != slot else { return }
    unlink(slot)
    link(slot)
  }
}

/// The last messages of a connection that are over, and what becomes of what still comes of them.
struct FinishedMessages {
  static let capacity = 64

  private var keys: [UInt64] = []
  private var ends: [Assembly] = []
  private var next = 0

  func end(of key: FragmentKey) -> Assembly? {
    let packed = key.packed
    for index in keys.indices where keys[index] == packed { return ends[index] }
    return nil
  }

  mutating func note(_ key: FragmentKey, _ end: Assembly) {
    if keys.count < FinishedMessages.capacity {
      keys.append(key.packed)
      ends.append(end)
      return
    }
    keys[next] = key.packed
    ends[next] = end
    next = (next + 1) % FinishedMessages.capacity
  }
}
