/// A get of ours that waits for its reply.
struct WaitingGet: Vacant, Linked {
  var connection = ConnectionRecord.noSlot
  var replyID: UInt16 = 0
  /// Nil towards an implicit peer, whose replies carry none.
  var messageID: UInt32?
  var context: UInt = 0
  /// Its own timer, if `Traffic.firstUntimed` does not have one for it.
  var timer = TimerID.none
  /// When it is to be looked at next.
  var due = Instant.never
  /// It is given up then.
  var deadline = Instant.never
  /// When it was first sent, and how often it was.
  var sentAt = Instant(nanoseconds: 0)
  var sendings: UInt16 = 0
  /// How patient it began: see `ReplyTimer`.
  var firstAttempt: UInt8 = 0
  /// Of several packets, which the outbox sends.
  var isTracked = false
  /// Of one packet over UDP.
  var maySendAgain = false
  /// A part of its reply came: the rest comes without our asking.
  var hasPartOfReply = false
  /// The number of the datagram that it was last packed into: see `Traffic.datagramsTaken`.
  var datagram: UInt32 = 0
  var links = SlotLinks()

  static func vacant() -> WaitingGet { WaitingGet() }

  mutating func vacate() {}
}

/// What the event of a request says of it: all that an answer needs but the connection.
struct RequestWord {
  var bits: UInt64

  private static let hasMessageID: UInt64 = 1 << 48
  /// It came in datagrams that are acknowledged, so nobody asks again for its reply.
  private static let isTracked: UInt64 = 1 << 49

  @inline(__always)
  init(bits: UInt64) { self.bits = bits }

  @inline(__always)
  init(replyID: UInt16, messageID: UInt32?, isTracked: Bool) {
    bits = UInt64(messageID ?? 0) << 16 | UInt64(replyID)
    if messageID != nil { bits |= Self.hasMessageID }
    if isTracked { bits |= Self.isTracked }
  }

  @inline(__always)
  var replyID: UInt16 { UInt16(truncatingIfNeeded: bits) }

  @inline(__always)
  var messageID: UInt32? {
    bits & Self.hasMessageID == 0 ? nil : UInt32(truncatingIfNeeded: bits >> 16)
  }

  @inline(__always)
  var isTracked: Bool { bits & Self.isTracked != 0 }
}

/// The request that was told of last, as long as it has neither its answer nor a place among those
/// that are open.
struct PolledRequest {
  /// None if there is no such request.
  var handle = Handle.none
  var connection = ConnectionRecord.noSlot
  var word = RequestWord(bits: 0)
}

/// A request of the peer that our program has not answered yet.
struct OpenRequest: Vacant, Linked {
  var connection = ConnectionRecord.noSlot
  var word = RequestWord(bits: 0)
  var links = SlotLinks()

  static func vacant() -> OpenRequest { OpenRequest() }

  mutating func vacate() {}
}

/// The payloads of requests that may be sent again, each by the slot of its get. A slot that is used
/// again finds the memory of the get before it.
struct GetPayloads: ~Copyable {
  /// What one holds: the front of a block.
  private struct Payload: ~Copyable {
    var block = Block<UInt8>()
    var count = 0
  }

  /// Bytes of memory that are kept at most for gets to come.
  static let keptBytes = 4_194_304
  private static let leastSize = 64

  private var payloads = Pages<Payload>()
  private var kept = 0

  /// Keeps a copy of a payload for a slot that has none.
  @inline(__always)
  mutating func keep(_ bytes: Span<UInt8>, of slot: Int) {
    if slot >= payloads.count || payloads[slot].block.count < bytes.count {
      makeRoom(bytes.count, in: slot)
    }
    kept &-= payloads[slot].block.count
    payloads[slot].count = bytes.count
    payloads[slot].block.copy(bytes, to: 0)
  }

  @inline(never)
  private mutating func makeRoom(_ count: Int, in slot: Int) {
    while payloads.count <= slot { payloads.append(Payload()) }
    var size = GetPayloads.leastSize
    while size < count { size *= 2 }
    kept += size - payloads[slot].block.count
    payloads[slot].block = Block(repeating: 0, count: size)
  }

  /// The payload of a slot takes the place of what `bytes` held.
  func read(_ slot: Int, into bytes: inout [UInt8]) {
    bytes.removeAll(keepingCapacity: true)
    bytes.append(bytes: payloads[slot].block.span(0..<payloads[slot].count))
  }

  /// Nobody needs the payload of a slot any more.
  @inline(__always)
  mutating func release(_ slot: Int) {
    kept &+= payloads[slot].block.count
    if kept > GetPayloads.keptBytes { giveUp(slot) }
  }

  @inline(never)
  private mutating func giveUp(_ slot: Int) {
    kept -= payloads[slot].block.count
    payloads[slot] = Payload()
  }
}
