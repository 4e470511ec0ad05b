/// How a listener and its connections, or one outgoing connection, behave.
///
/// Ranges are checked when the options are used: options out of range give `listeningError` or
/// `connectionSetupError` with `invalidArgument`. No time may be longer than a day.
public struct Options: Equatable, Sendable {
  /// The options of the core.
  package var core = ConnectionOptions()

  /// A number of the program's own; connections inherit their listener's.
  public var context: UInt = 0

  /// The defaults.
  public init() {}

  /// Makes the public view of options of the core.
  package init(_ core: ConnectionOptions, context: UInt) {
    self.core = core
    self.context = context
  }

  /// At most so long between two packets of ours; 10 s, at least 10 ms.
  public var heartbeat: Duration {
    get { core.heartbeat.duration }
    set { core.heartbeat = Interval(newValue) }
  }

  /// Silence after which a UDP path is probed each second; 15 s, at least 1 ms.
  public var suspect: Duration {
    get { core.suspect.duration }
    set { core.suspect = Interval(newValue) }
  }

  /// Silence after which a connection is lost; 30 s, at least twice `heartbeat` and a second.
  public var lost: Duration {
    get { core.lost.duration }
    set { core.lost = Interval(newValue) }
  }

  /// For name, addresses and handshake together; 10 s, at least 1 ms.
  public var connectTimeout: Duration {
    get { core.connectTimeout.duration }
    set { core.connectTimeout = Interval(newValue) }
  }

  /// For `get`, unless it says otherwise; 5 s, at least 1 ms.
  public var getTimeout: Duration {
    get { core.getTimeout.duration }
    set { core.getTimeout = Interval(newValue) }
  }

  /// A client that failed or was lost tries again after this, with jitter; zero, the default, is
  /// never.
  public var reconnectWait: Duration {
    get { core.reconnectWait.duration }
    set { core.reconnectWait = Interval(newValue) }
  }

  /// Largest message accepted from the peer, in bytes, at most 67 108 864; 0, the default, is
  /// 1 048 576 on UDP and 16 777 216 on TCP.
  public var maxMessageBytes: Int {
    get { Int(core.maxMessageBytes) }
    set { core.maxMessageBytes = UInt32(clamping: newValue) }
  }

  /// Messages queued per connection before `wouldBlock`; 1000, at least 1. Queued is what the
  /// system was not given or, if reliable, the peer has not acknowledged.
  public var sendMarkMessages: Int {
    get { Int(core.sendMarkMessages) }
    set { core.sendMarkMessages = UInt32(clamping: newValue) }
  }

  /// Bytes queued per connection before `wouldBlock`; 1 048 576, at least 1. A message is accepted
  /// while both are below their marks, so one of any size may go over.
  public var sendMarkBytes: Int {
    get { Int(core.sendMarkBytes) }
    set { core.sendMarkBytes = UInt32(clamping: newValue) }
  }

  /// Most connections of a listener; 1 000 000, which is also the most, at least 1.
  public var maxConnections: Int {
    get { Int(core.maxConnections) }
    set { core.maxConnections = UInt32(clamping: newValue) }
  }

  /// Whether a UDP listener accepts peers that never say hello, but send bare 8-byte headers; no.
  public var implicitPeers: Bool {
    get { core.implicitPeers }
    set { core.implicitPeers = newValue }
  }

  /// Asked of the kernel for UDP sockets, each way, in bytes; 4 194 304, 1...2^30. It may give
  /// less.
  public var socketBufferBytes: Int {
    get { Int(core.socketBufferBytes) }
    set { core.socketBufferBytes = UInt32(clamping: newValue) }
  }

  /// How long `disconnect` may take to deliver what was accepted; 5 s, at least 1 ms.
  public var closeTimeout: Duration {
    get { core.closeTimeout.duration }
    set { core.closeTimeout = Interval(newValue) }
  }

  /// How the connection proves that it lives; `beat`.
  public var liveness: Liveness {
    get { core.liveness == .onDemand ? .onDemand : .beat }
    set { core.liveness = newValue == .onDemand ? .onDemand : .beat }
  }

  /// At most so long between two packets of ours, in each mode of liveness; zero, the default, is
  /// off, else 1...65 535 s. 25 s keeps the mapping of most NAT gateways.
  public var keepalive: Duration {
    get { core.keepalive.duration }
    set { core.keepalive = Interval(newValue) }
  }

  /// Closed with `idle` after so many heartbeats or keepalives of ours in a row without a message,
  /// request or reply either way; 0, the default, is never.
  public var idleKeepalives: Int {
    get { Int(core.idleKeepalives) }
    set { core.idleKeepalives = UInt32(clamping: newValue) }
  }

  /// Messages that the program has not taken, of a listener's connections together or of a client;
  /// 65 536, at least 1. Those are what waits in `AsyncMessageBox.events`, or was told to
  /// `MessageBox.noteUntaken`.
  ///
  /// At the mark, and until below half of it, streams are not read, which fills their senders'
  /// queues; over UDP reliable messages are left to be resent and all others are dropped and
  /// counted. `error` with `receiveMark` tells of it; heartbeats and acknowledgements go on.
  public var receiveMarkMessages: Int {
    get { Int(core.receiveMarkMessages) }
    set { core.receiveMarkMessages = UInt32(clamping: newValue) }
  }

  /// Bytes of messages that the program has not taken; 16 777 216, at least 1. See
  /// `receiveMarkMessages`.
  public var receiveMarkBytes: Int {
    get { Int(core.receiveMarkBytes) }
    set { core.receiveMarkBytes = UInt32(clamping: newValue) }
  }

  /// Whether other listeners of this process that say so too may have the same address and port,
  /// such as one in each of several boxes, each on a thread of its own; no.
  ///
  /// The system spreads new connections over them. What a UDP client sends reaches the box of its
  /// connection from whatever address it comes. At most 255 listeners share a UDP port; sockets of
  /// other processes must not.
  public var sharePort: Bool {
    get { core.sharePort }
    set { core.sharePort = newValue }
  }

  /// Most connections of a listener from one source prefix, /24 of IPv4 and /56 of IPv6, hellos that
  /// wait included, 1...1 000 000; 0, the default, is 16 384, and no limit for loopback addresses.
  public var maxPerPrefix: Int {
    get { Int(core.maxPerPrefix) }
    set { core.maxPerPrefix = UInt32(clamping: newValue) }
  }
}

extension Options {
  /// How a connection proves that it lives.
  public enum Liveness: Sendable {
    /// Heartbeats when nothing else is sent; silence for `lost` is a loss.
    case beat
    /// Silent when idle; a loss is judged only while something waits for an answer.
    case onDemand
  }
}
