/// A get of ours that waits for its reply.
struct WaitingGet: Vacant, Linked {
  var connection = ConnectionRecord.noSlot
  var replyID: UInt16 = 0
  /// Nil towards an implicit peer, whose replies carry none.
  var messageID: UInt32?
  var context: UInt = 0
  var timer = TimerID.none
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
}

/// A request of the peer that our program has not answered yet.
struct OpenRequest: Vacant, Linked {
  var connection = ConnectionRecord.noSlot
  var replyID: UInt16 = 0
  var messageID: UInt32?
  /// It came in datagrams that are acknowledged, so nobody asks again for its reply.
  var isTracked = false
  var links = SlotLinks()

  static func vacant() -> OpenRequest { OpenRequest() }
}

/// The payloads of requests that may be sent again, each by the slot of its get. A slot that is used
/// again finds the memory of the get before it.
struct GetPayloads {
  /// What one holds: the front of a buffer.
  struct Payload {
    fileprivate var buffer: [UInt8] = []
    fileprivate var count = 0

    var span: Span<UInt8> {
      @_lifetime(borrow self) get { buffer.span.extracting(0..<count) }
    }
  }

  /// Bytes of memory that are kept at most for gets to come.
  static let keptBytes = 4_194_304

  private var payloads: [Payload] = []
  private var kept = 0

  /// Keeps a copy of a payload for a slot that has none.
  mutating func keep(_ bytes: Span<UInt8>, of slot: Int) {
    while payloads.count <= slot { payloads.append(Payload()) }
    kept -= payloads[slot].buffer.count
    if payloads[slot].buffer.count < bytes.count {
      var size = 64
      while size < bytes.count { size *= 2 }
      payloads[slot].buffer = [UInt8](repeating: 0, count: size)
    }
    payloads[slot].count = bytes.count
    var target = payloads[slot].buffer.mutableSpan
    _ = target.copyToFront(bytes)
  }

  /// The payload of a slot, to be put back.
  mutating func take(_ slot: Int) -> Payload {
    var payload = Payload()
    swap(&payload, &payloads[slot])
    return payload
  }

  mutating func put(_ payload: consuming Payload, _ slot: Int) { payloads[slot] = payload }

  /// Nobody needs the payload of a slot any more.
  mutating func release(_ slot: Int) {
    let size = payloads[slot].buffer.count
    if kept + size > GetPayloads.keptBytes {
      payloads[slot] = Payload()
    } else {
      kept += size
    }
  }
}
