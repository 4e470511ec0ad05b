extension MessageBox {
  /// How one message is sent, besides what it is.
  ///
  /// ```
  /// try box.send("order 7", to: connection, options: .reliable(channel: 1))
  /// try box.send(position, to: connection, options: .init(deadline: .milliseconds(50), key: 9))
  /// ```
  public struct SendOptions: Equatable, Sendable {
    /// Resent until the peer acknowledges it, and delivered once. Over TCP every message arrives
    /// unless the connection ends, but only a reliable one can tell its outcome.
    public var isReliable: Bool

    /// Of a reliable message: 0 is unordered; 1...255 are ordered, each in itself: one that is late
    /// holds up the later ones of its channel alone. Over TCP all is in order anyway.
    public var channel: UInt8

    /// Dropped, as `expired`, if it is not on the wire within this: more than zero, at most a day;
    /// nil is never. A message of which a part has left is sent to its end.
    public var deadline: Duration?

    /// Not 0: a message to the same peer with the same key that is still waiting to be sent is
    /// dropped, as `superseded`, and this one takes its place. For states of which only the newest
    /// counts.
    public var key: UInt64

    /// Exactly one of `delivered` and `undelivered` follows, with `context`. Only of a reliable
    /// message.
    public var tellsOutcome: Bool

    /// Comes back with the outcome.
    public var context: UInt

    /// Over UDP it gets a datagram of its own, so that one that is lost takes no other message
    /// with it; by default the small messages of a turn share datagrams, which costs a fraction.
    /// No effect on one of several packets, which has its own anyway, nor over TCP.
    public var isAlone: Bool

    /// Makes options; the defaults are those of a message that is sent once.
    public init(
      isReliable: Bool = false, channel: UInt8 = 0, deadline: Duration? = nil, key: UInt64 = 0,
      tellsOutcome: Bool = false, context: UInt = 0, isAlone: Bool = false
    ) {
      self.isReliable = isReliable
      self.channel = channel
      self.deadline = deadline
      self.key = key
      self.tellsOutcome = tellsOutcome
      self.context = context
      self.isAlone = isAlone
    }

    /// Options of a message that has a datagram for itself.
    public static var alone: SendOptions { SendOptions(isAlone: true) }

    /// Options of a message that arrives once, unless the connection ends before.
    public static func reliable(channel: UInt8 = 0) -> SendOptions {
      SendOptions(isReliable: true, channel: channel)
    }

    /// Options of a message that arrives once, and whose outcome comes as an event with `context`.
    public static func reliable(channel: UInt8 = 0, tellingOutcomeTo context: UInt) -> SendOptions {
      SendOptions(isReliable: true, channel: channel, tellsOutcome: true, context: context)
    }

    /// The same for the core.
    ///
    /// - Throws: `invalidArgument` for a deadline out of range, and for a channel or an outcome
    ///   without reliability.
    package var core: MsgBox.SendOptions {
      get throws(MessageError) {
        guard isReliable || (channel == 0 && !tellsOutcome) else {
          throw MessageError(.invalidArgument)
        }
        var core = MsgBox.SendOptions()
        core.isReliable = isReliable
        core.channel = channel
        core.key = key
        core.wantsOutcome = tellsOutcome
        core.context = context
        core.isAlone = isAlone
        guard let deadline else { return core }
        core.deadline = Interval(deadline)
        guard core.deadline.nanoseconds > 0, core.deadline <= .seconds(86400) else {
          throw MessageError(.invalidArgument)
        }
        return core
      }
    }
  }

  /// Whom a broadcast was queued to.
  public struct BroadcastResult: Sendable {
    /// To how many it was queued.
    public var reached: Int
    /// Who did not take it, and why, such as `wouldBlock`.
    public var skipped: [(connection: Connection, reason: MessageError)]
  }
}
