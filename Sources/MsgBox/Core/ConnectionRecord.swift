/// One end of a session, or a listener: a flat record found by its slot. What only some need hangs
/// off it.
package struct ConnectionRecord: ~Copyable, Vacant, Linked {
  private let inPlace = InPlace()

  package enum Role: UInt8, Sendable {
    case listener
    /// We connected.
    case client
    /// Cloned from a listener.
    case server
  }

  ///     client:   waiting -> resolving -> opening -> helloing -> open -> closing -> ended
  ///     server:   (hello, pending) -> open -> closing -> ended;  TCP: awaitingHello -> open -> ...
  ///     listener: resolving -> binding -> open -> retiring -> ended
  ///
  /// Each may go to `ended` at any time; from there the slot is freed when the event of its end was
  /// delivered.
  package enum Phase: UInt8, Sendable {
    /// A reconnection whose time has not come.
    case waiting
    case resolving
    /// The loop opens a socket.
    case opening
    /// Hello is sent, accept not yet there.
    case helloing
    /// TCP: accepted by the system, hello not yet there.
    case awaitingHello
    case binding
    case open
    /// The program has ended it: what was accepted is delivered, then the close is sent.
    case closing
    /// A listener whose end is decided, while its connections' closes are sent.
    case retiring
    case ended
  }

  package struct Flags: OptionSet, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
      self.rawValue = rawValue
    }

    /// Speaks the bare 8 bytes: no session ids, no message ids.
    static let implicit = Flags(rawValue: 1)
    /// Silent for long: probed each second.
    static let suspect = Flags(rawValue: 2)
    /// A send was refused at the mark: `writable` is owed.
    static let owesWritable = Flags(rawValue: 4)
    /// Has something to send, and waits for its turn.
    static let isReady = Flags(rawValue: 8)
    /// Our id stands in the index of sessions by the id that we send with.
    static let isIndexed = Flags(rawValue: 16)
    /// A client that has heard something besides accept: its confirmation arrived.
    static let isConfirmed = Flags(rawValue: 32)
    /// Its options accept less than a datagram can carry: each message is measured.
    static let limitsMessages = Flags(rawValue: 64)
    /// Opened by the datagram at hand: a heartbeat answers it, unless something else does.
    static let owesBeat = Flags(rawValue: 128)
    /// Was refused for the sake of the box, and is in the list of those.
    static let awaitsBox = Flags(rawValue: 256)
    /// Silent when idle; silence is judged only while something waits for an answer.
    static let onDemand = Flags(rawValue: 512)
    /// Beats once at a visit that would not have needed it.
    static let beatsSoon = Flags(rawValue: 1024)
  }

  package static let noSocket = SocketID(rawValue: .max)
  package static let noSlot = UInt32.max

  // What each datagram needs comes first, so that it lies together.

  /// Ours: what packets to us carry.
  var session: UInt64 = 0
  var lastHeard = Instant(nanoseconds: 0)
  var remote = Address.unspecified
  var flags: Flags = []
  var socket = ConnectionRecord.noSocket
  /// The listener's slot, of a server connection.
  var listener = ConnectionRecord.noSlot
  var role = Role.client
  #if DEBUG
    var phase = Phase.ended {
      didSet {
        let machine = role == .listener ? "listener" : "connection"
        StateChange.tell(machine, oldValue == .ended ? nil : oldValue, phase)
      }
    }
  #else
    var phase = Phase.ended
  #endif
  var transport = Transport.udp
  /// Index of the rotation that visits it.
  var beats: UInt16 = 0
  var timer = TimerID.none
  /// The largest message that the peer accepts.
  var peerLargest = UInt32.max
  var messagesReceived: UInt64 = 0
  var bytesReceived: UInt64 = 0
  var traffic: Traffic?
  var userWords = UserWords()
  /// The peer's: what our packets carry.
  var peerSession: UInt64 = 0
  var lastSent = Instant(nanoseconds: 0)
  /// What only an outgoing connection has, and what only a listener has. Two fields and no
  /// enumeration: that would keep its case in bits of the pointer, and whoever looks for leaks could
  /// not follow it.
  var clientState: ClientState?
  var listenerState: ListenerState?
  var local = Address.unspecified
  /// The round trip over UDP before there is `traffic`, in microseconds; 0 is unknown.
  private var roundTripMicroseconds: UInt32 = 0
  /// Its place among the connections of the same listener.
  var links = SlotLinks()

  package static func vacant() -> ConnectionRecord { ConnectionRecord() }

  /// The address that our datagrams must come from: that which the peer has sent to. A client's
  /// socket knows its own.
  @inline(__always) var sendLocal: Address { role == .server ? local : .unspecified }

  /// The round trip over UDP as it was known before there was `traffic`; nil is unknown.
  var roundTrip: Interval? {
    get {
      roundTripMicroseconds == 0
        ? nil : Interval(nanoseconds: UInt64(roundTripMicroseconds) * 1000)
    }
    set {
      guard let newValue else { return }
      roundTripMicroseconds = UInt32(clamping: max(newValue.nanoseconds / 1000, 1))
    }
  }

  mutating func forgetRoundTrip() { roundTripMicroseconds = 0 }

  /// Whether there is a session: packets are taken, and silence is judged.
  @inline(__always) var hasSession: Bool { phase == .open || phase == .closing }

  /// The session that our packets carry; nil of one that speaks the bare 8 bytes.
  @inline(__always) var sendSession: UInt64? { flags.contains(.implicit) ? nil : peerSession }
}

/// What only an outgoing connection has.
final class ClientState {
  /// From the first hello to the second (RFC 8489 section 6.2.1); each further gap is twice as long.
  static let firstGap = Interval.milliseconds(500)
  /// From the first cookie to the next hello that time makes due; then it goes on as from the first.
  static let cookieGap = Interval.milliseconds(250)

  let locator: Locator?
  let options: ConnectionOptions
  /// What is left to try, in the resolver's order.
  var candidates = FIFO<Address>()
  /// The whole attempt is given up then.
  var deadline = Instant(nanoseconds: 0)
  /// The candidate at hand is given up then, if there is another.
  var candidateDeadline = Instant(nanoseconds: 0)
  /// When the next hello, or the next confirmation, is due.
  var nextHello = Instant(nanoseconds: 0)
  var helloGap = ClientState.firstGap
  /// When the first hello to the candidate at hand was sent; nil if it was sent again.
  var helloSentAt: Instant?
  /// What the hellos to the candidate at hand bring along.
  var cookie = Cookie.none
  /// A cookie is answered with a hello at once: one for each hello that time made due.
  var mayHurry = false
  /// Confirmations that are still to be repeated: 0.5, 1, 2, 4 s.
  var confirmationsLeft = 0
  var confirmationGap = Interval.milliseconds(500)
  var untaken = Untaken()
  /// Why the last candidate failed: the reason when all have.
  var failure = Status.timedOut
  var failureError: Int32 = 0

  init(locator: Locator?, options: ConnectionOptions) {
    self.locator = locator
    self.options = options
  }
}

/// What only a listener has.
final class ListenerState {
  let locator: Locator?
  let options: ConnectionOptions
  /// Its connections in the order of their coming.
  var connections = SlotList()
  /// Streams that have not said hello: they take no place from who has.
  var awaitingStreams = SlotList()
  /// Hellos that it has answered and that were not confirmed.
  var pendingHellos = SlotList()
  /// Those of its connections that have no session, the one that has been silent for longest first.
  var implicitPeers = SlotList()
  var prefixes: SourcePrefixes
  var untaken = Untaken()
  /// `acceptFailed` was reported and no accept has succeeded since.
  var reportedAcceptFailure = false
  /// The first byte of its sessions' ids: not 0 if it shares its UDP port.
  var steering: UInt8 = 0

  /// - Parameter key: random, and known to nobody.
  init(locator: Locator?, options: ConnectionOptions, key: UInt64) {
    prefixes = SourcePrefixes(key: key)
    self.locator = locator
    self.options = options
  }
}
