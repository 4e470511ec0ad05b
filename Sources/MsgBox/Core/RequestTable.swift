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

  static var vacant: WaitingGet { WaitingGet() }
}

/// A request of the peer that our program has not answered yet.
struct OpenRequest: Vacant, Linked {
  var connection = ConnectionRecord.noSlot
  var replyID: UInt16 = 0
  var messageID: UInt32?
  /// It came in datagrams that are acknowledged, so nobody asks again for its reply.
  var isTracked = false
  var links = SlotLinks()

  static var vacant: OpenRequest { OpenRequest() }
}
