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

/// What the core knows of a socket of the loop.
struct SocketState: ~Copyable {
  enum Kind {
    case free
    /// A UDP listener; the owner is the listener.
    case datagramListener
    /// A connected UDP socket; the owner is its one connection.
    case datagramClient
    case streamListener
    case stream
  }

  /// With so many datagrams waiting for a socket, what carries no message is dropped: others decide
  /// how much of it there is, faster perhaps than a turn sends, and it is repeated.
  static let waitingMark = 4096

  var kind = Kind.free
  /// Slot of the listener or connection; `noSlot` when that has ended and the socket only finishes.
  var owner = ConnectionRecord.noSlot
  /// Closed as soon as everything is sent and no close is to be repeated here.
  var isFinishing = false
  var isBlocked = false
  /// Named in the list of sockets that have something to send.
  var isReady = false
  /// Tombstones that still repeat their close here.
  var repeatingCloses = 0
  var out = FIFO<OutDatagram>()
  /// Connections with something to send, while the socket takes nothing.
  var parked = FIFO<ReadyConnection>()
  var stream: StreamState?
}

/// The two directions of a TCP stream.
final class StreamState {
  enum Phase {
    case connecting
    case open
    /// Our close is queued: what is queued is written, then FIN; what comes is discarded until the
    /// peer's FIN.
    case closing
    /// FIN was sent.
    case lingering
  }

  var phase = Phase.open
  /// Nothing is read, because the program takes no more.
  var isPaused = false
  var out = StreamQueue()
  var deframer: StreamDeframer
  /// Bytes of a frame that is not complete, as the box counts them.
  var heldBytes = 0
  /// The frames that are queued.
  var frames = FIFO<QueuedFrame>()
  /// Stream offset at which the first of them begins.
  private var framesBegin: UInt64 = 0
  var timer = TimerID.none

  /// A stream that takes nothing larger than a handshake until its session is open.
  init(phase: Phase) {
    self.phase = phase
    deframer = StreamDeframer(maxMessage: Introduction.helloSize)
  }

  /// The first frame, if it was written to its end.
  func popWritten() -> QueuedFrame? {
    guard let frame = frames.first, frame.end <= out.sent else { return nil }
    framesBegin = frame.end
    return frames.popFirst()
  }

  /// Forgets every frame of which nothing was written. One that has begun goes on to its end, for
  /// the peer could read nothing behind half of one.
  func dropUnbegun() {
    while popWritten() != nil {}
    let begun = framesBegin < out.sent ? frames.first : nil
    out.truncate(to: begun?.end ?? out.sent)
    frames = FIFO()
    if let begun { frames.append(begun) }
  }
}

/// A frame that waits to be written.
struct QueuedFrame {
  /// Stream offset behind it.
  var end: UInt64
  /// Of a message that counts as queued until it is written; else nil.
  var messageBytes: Int?
}

/// Bytes to be written to a stream: appended at the end, taken from the front.
struct StreamQueue {
  /// Bytes for which memory is kept; a queue with fewer takes messages that wait.
  static let keptCapacity = 65_536

  private static let writeLimit = 262_144

  private(set) var bytes: [UInt8] = []
  private var head = 0
  /// Stream offset of the first unsent byte.
  private(set) var sent: UInt64 = 0

  var count: Int { bytes.count - head }
  /// Stream offset behind the last byte.
  var end: UInt64 { sent &+ UInt64(count) }

  mutating func append(_ write: (inout [UInt8]) -> Void) { write(&bytes) }

  mutating func append(_ head: MessageHead, _ message: Span<UInt8>) {
    StreamFrame.append(head, payload: message, to: &bytes)
  }

  /// Drops what lies behind a stream offset.
  mutating func truncate(to end: UInt64) {
    let kept = Int(clamping: end &- sent)
    guard kept < count else { return }
    bytes.removeSubrange((head + kept)...)
  }

  /// The first bytes that are not sent; 256 KiB at most, so that other streams get their turn.
  func withUnsent(_ body: (Span<UInt8>) -> Int) -> Int {
    body(bytes.span.extracting(head..<min(bytes.count, head + StreamQueue.writeLimit)))
  }

  mutating func take(_ taken: Int) {
    head += taken
    sent &+= UInt64(taken)
    if head == bytes.count {
      if bytes.capacity > StreamQueue.keptCapacity {
        bytes = []
      } else {
        bytes.removeAll(keepingCapacity: true)
      }
      head = 0
    } else if head > StreamQueue.keptCapacity, head > bytes.count / 2 {
      bytes.removeSubrange(0..<head)
      head = 0
    }
  }
}
