/// What a connection needs once messages flow: queues, waiting gets, open requests, counters.
final class Traffic {
  /// Of the connection's options: queued below both, a message is accepted.
  let markMessages: Int
  let markBytes: Int
  /// The largest message that is accepted from the peer.
  let largest: Int
  /// Of the connection's options: how long a get waits unless it says otherwise.
  let getTimeout: Interval

  /// Accepted from the program and not yet given to the system or, if reliable, not acknowledged.
  var queuedMessages = 0
  var queuedBytes = 0
  /// What was last refused at a mark is more than the share that each has beyond the box's.
  var wantsMoreThanShare = false
  /// Messages that wait for the accept.
  var early = FIFO<EarlyMessage>()

  /// The datagram that small packets are packed into.
  var builder: DatagramBuilder?
  /// Messages and bytes in `builder` that count as queued.
  var builderMessages = 0
  var builderBytes = 0
  /// Full datagrams.
  var sealed = FIFO<SealedDatagram>()
  /// How many of them were taken to be sent: the number of the first, wrapping.
  var datagramsTaken: UInt32 = 0
  /// Messages that are not packed before their turn.
  var waiting = WaitingMessages()
  /// What must arrive.
  var outbox: Outbox?
  /// The round trip as far as it is known without an outbox.
  var roundTrip = RoundTrip()
  /// The outbox was served last, so others come before it.
  var outboxHadItsTurn = false
  /// Messages that wait in their own form were served last, so those that are packed come first.
  var waitingHadItsTurn = false
  /// Bytes that it may still send in `round`; below zero by what the last datagram was larger.
  var deficit = 0
  /// The last round in which it had its turn.
  var round: UInt32 = 0
  /// When the first message that has a deadline may be too late.
  var expiryTimer = TimerID.none
  var expiryDue = Instant(nanoseconds: 0)
  /// Of the outbox: when a loss or a probe is due, or the pacer lets more go.
  var recoveryTimer = TimerID.none
  var recoveryDue = Instant(nanoseconds: 0)

  /// Of a connection that is being closed: why, and what the program is told.
  var closeReason = CloseReason.normal
  var closeStatus = Status.endLocal
  /// The close went with the last message.
  var closeIsPacked = false

  /// What came in datagrams that want an acknowledgement.
  var received: ReceivedNumbers?
  var inbox: ChannelInbox?
  var reassembly: Reassembly?
  var reassemblyTimer = TimerID.none
  /// When something was last refused because the program took no more.
  var refusedAt = Instant(nanoseconds: 0)
  /// Of incomplete messages and such that wait for others, as the box counts them.
  var heldBytes = 0
  /// What came lately of such messages, and since when it has not grown old; see `partCame`.
  var lately = 0
  var cameAt = Instant(nanoseconds: 0)
  /// Reliable frames that came on a stream, and whether that is still to be told.
  var reliableFramesReceived: UInt32 = 0
  var owesStreamAck = false
  /// Reliable frames that the stream has taken to their end, and how many of them the peer has.
  var reliableFramesWritten: UInt32 = 0
  var reliableFramesAcknowledged: UInt32 = 0
  /// Reliable messages on a stream that are not acknowledged.
  var streamOutbox = FIFO<StreamReliable>()

  var lastReplyID: UInt16 = 0
  var nextMessageID: UInt32 = 0
  /// Waiting gets by reply id, and in the order of asking.
  var replyIDs = ReplyIDs()
  var waitingGets = SlotList()
  /// The first of them that has no timer of its own, and the timer of all of those. They are due in
  /// the order of asking, the last of them at `untimedDue`.
  var firstUntimed = ConnectionRecord.noSlot
  var untimedDue = Instant(nanoseconds: 0)
  var getsTimer = TimerID.none
  var getsTimerDue = Instant(nanoseconds: 0)
  /// How long a request waits before it is sent again.
  var replyTimer = ReplyTimer()
  /// Reply ids of timed-out gets to an implicit peer, which a late reply might still name.
  var quarantine = FIFO<QuarantinedID>()
  var quarantined: Set<UInt16> = []

  /// Requests of the peer in the order of their coming.
  var openRequests = SlotList()
  /// Which requests came, so that each is handled once however often it comes.
  var requestWindow = RequestWindow()
  var replyCache: ReplyCache?

  /// Heartbeats of ours in a row without a message either way.
  var idleBeats: UInt32 = 0
  /// Of a connection that is silent when idle: when it sent the first message since the peer was
  /// last heard from, and when it got the first one since it last sent something.
  var firstUnanswered = Instant(nanoseconds: 0)
  var firstUnsigned = Instant(nanoseconds: 0)
  /// When the timer of the open connection fires.
  var timerDue = Instant(nanoseconds: 0)

  var messagesSent: UInt64 = 0
  var bytesSent: UInt64 = 0
  var resent: UInt64 = 0
  var drops = Counters.Drops(repeating: 0)

  init(_ options: ConnectionOptions, largest: Int) {
    self.largest = largest
    markMessages = Int(options.sendMarkMessages)
    markBytes = Int(options.sendMarkBytes)
    getTimeout = options.getTimeout
  }

  /// The number that the datagram which is being filled will have among those taken.
  var openDatagram: UInt32 { datagramsTaken &+ UInt32(truncatingIfNeeded: sealed.count) }

  /// Whether everything that was accepted is with the system or, if reliable, acknowledged, and so
  /// is what the peer has sent.
  var isFlushed: Bool {
    sealed.isEmpty && builder == nil && waiting.isEmpty && (outbox?.isEmpty ?? true)
      && received?.owesAck != true
  }
}

/// A datagram that waits for its connection's turn.
struct SealedDatagram {
  var datagram = PackedDatagram(buffer: [], count: 0)
  /// What it takes from the marks when it is sent.
  var messages = 0
  var messageBytes = 0
}

/// A message that was accepted before there is somebody to send it to.
struct EarlyMessage {
  var head: MessageHead
  var bytes: MessageBytes
  var options: SendOptions
  var deadline: Instant
}

/// A reliable message that was put on a stream.
struct StreamReliable {
  var bytes: Int
  var options: SendOptions
}

struct QuarantinedID {
  var replyID: UInt16
  var since: Instant
}
