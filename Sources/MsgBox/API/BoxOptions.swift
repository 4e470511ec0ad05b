/// What all connections of a box share.
public struct BoxOptions: Equatable, Sendable {
  /// The limits of the core.
  package var core = BoxLimits()
  /// How long a turn that may wait polls without sleeping before it does; zero, the default, to one
  /// second. It answers sooner, and keeps a core busy meanwhile.
  public var spin: Duration = .zero

  /// The defaults.
  public init() {}

  /// Messages queued over all connections before `wouldBlock`; 262 144, at least 1. A connection that
  /// has next to nothing queued may then still queue its share, one small message at least, of a
  /// sixteenth more: peers that take nothing do not silence a box.
  public var sendMarkMessages: Int {
    get { Int(core.sendMarkMessages) }
    set { core.sendMarkMessages = UInt32(clamping: newValue) }
  }

  /// Bytes queued over all connections before `wouldBlock`, likewise; 268 435 456, at least 1.
  public var sendMarkBytes: Int {
    get { Int(clamping: core.sendMarkBytes) }
    set { core.sendMarkBytes = UInt64(clamping: newValue) }
  }

  /// Bytes held of incomplete messages, and of such that wait for others before them, over
  /// UDP, and as many over TCP; 268 435 456, at least 1. Of what comes above over UDP, reliable parts are
  /// resent and others dropped; the connections whose messages come most slowly for what they hold are
  /// closed with `overload`. As much again at most is used to know requests that come again.
  public var receiveBytes: Int {
    get { Int(clamping: core.receiveBytes) }
    set { core.receiveBytes = UInt64(clamping: newValue) }
  }

  /// Datagrams that one turn of the loop sends, shared fairly by the connections; 1000, at least 1.
  /// Of what is in no connection's queue, as answers to strangers, it sends four times as many.
  public var turnDatagrams: Int {
    get { Int(core.turnDatagrams) }
    set { core.turnDatagrams = UInt32(clamping: newValue) }
  }
}
