/// A datagram that waits for its socket and belongs to no connection's queue.
struct OutDatagram {
  enum Content {
    case control(ControlPacket, session: UInt64?)
    case packed(PackedDatagram)
  }

  var content: Content
  var remote: Address
  var local: Address
}

/// A connection that waits for its turn.
struct ReadyConnection {
  var slot: UInt32
  var generation: UInt32
}

/// What the core knows of a socket of the loop. Small, for there is one for each TCP connection.
struct SocketState: ~Copyable {
  enum Kind: UInt8 {
    case free
    /// A UDP listener; the owner is the listener.
    case datagramListener
    /// A connected UDP socket; the owner is its one connection.
    case datagramClient
    case streamListener
    case stream
  }

  /// Of a stream.
  enum Phase: UInt8 {
    case connecting
    case open
    /// Our close is queued: what is queued is written, then FIN; what comes is discarded until the
    /// peer's FIN.
    case closing
    /// FIN was sent.
    case lingering
  }

  /// With so many datagrams waiting for a socket, what carries no message is dropped: others decide
  /// how much of it there is, faster perhaps than a turn sends, and it is repeated.
  static let waitingMark = 8192
  /// Of those, so many may be answers, which whoever sends decides about: the rest of the room is for
  /// what goes by our own clock, such as heartbeats.
  static let answerMark = waitingMark / 2

  private struct Flags: OptionSet {
    let rawValue: UInt8

    static let isFinishing = Flags(rawValue: 1)
    static let isBlocked = Flags(rawValue: 2)
    static let isReady = Flags(rawValue: 4)
    static let isPaused = Flags(rawValue: 8)
  }

  var kind = Kind.free
  #if DEBUG
    var phase = Phase.open {
      // It is connecting from the beginning, or open.
      didSet { StateChange.tell("stream", phase == .connecting ? nil : oldValue, phase) }
    }
  #else
    var phase = Phase.open
  #endif
  private var flags: Flags = []
  /// Of a stream: frames that come in pieces may be lent memory of less than 2 to this, for one of
  /// that size has come; 0 before.
  var provenBits: UInt8 = 0
  /// Slot of the listener or connection; `noSlot` when that has ended and the socket only finishes.
  var owner = ConnectionRecord.noSlot
  /// Of a UDP socket, made on first use.
  private(set) var waiting: WaitingDatagrams?
  /// Of a stream, while there is something to write or a part of a frame.
  var stream: StreamState?

  /// Closed as soon as everything is sent and no close is to be repeated here.
  var isFinishing: Bool {
    get { flags.contains(.isFinishing) }
    set { set(.isFinishing, newValue) }
  }

  var isBlocked: Bool {
    get { flags.contains(.isBlocked) }
    set { set(.isBlocked, newValue) }
  }

  /// Named in the list of sockets that have something to send.
  var isReady: Bool {
    get { flags.contains(.isReady) }
    set { set(.isReady, newValue) }
  }

  /// Of a stream: nothing is read, because the program takes no more.
  var isPaused: Bool {
    get { flags.contains(.isPaused) }
    set { set(.isPaused, newValue) }
  }

  @inline(__always)
  private mutating func set(_ flag: Flags, _ isSet: Bool) {
    if isSet { flags.insert(flag) } else { flags.remove(flag) }
  }

  mutating func waitingForMore() -> WaitingDatagrams {
    if let waiting { return waiting }
    let new = WaitingDatagrams()
    waiting = new
    return new
  }
}

/// What waits for a UDP socket.
final class WaitingDatagrams {
  /// Datagrams that belong to no connection's queue.
  var out = FIFO<OutDatagram>()
  /// Connections with something to send, while the socket takes nothing.
  var parked = FIFO<ReadyConnection>()
  /// Tombstones that still repeat their close here.
  var repeatingCloses = 0

  /// Whether nothing has to be sent there before the socket is closed.
  var isIdle: Bool { out.isEmpty && repeatingCloses == 0 }
}

/// A stream that was refused, and may have been closed since.
struct RefusedStream {
  var socket: SocketID
  var refusal: UInt64
}

/// The two directions of a TCP stream that is at work.
final class StreamState {
  var out = StreamQueue()
  var deframer = StreamDeframer()
  /// Bytes of a frame that is not complete, as the box counts them.
  var heldBytes = 0
  /// Which part of a frame that is, by the deframer's count, and when it began.
  var part: UInt32 = 0
  var partBegan = Instant(nanoseconds: 0)
  /// When a stream that is closing is given up.
  var timer = TimerID.none
  /// Of a stream that was refused: which refusal that was; 0 of others.
  var refusal: UInt64 = 0

  /// Whether nothing would be lost without it.
  var isIdle: Bool { out.isEmpty && !deframer.isInsideFrame && timer == .none }
}
