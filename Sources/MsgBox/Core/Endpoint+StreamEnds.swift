/// The three ways in which a stream ends.
extension Endpoint {
  /// How long a closing stream may take to write what it has queued.
  private static let flushTime = Interval.seconds(10)
  /// How long it then waits for the peer's FIN, so that the kernel does not answer late bytes with
  /// a RST that would destroy the close frame.
  private static let lingerTime = Interval.seconds(2)

  package mutating func streamEnded(_ socket: SocketID, _ end: StreamEnd, at now: Instant) {
    guard let slot = owner(socket) else {
      // Our close was sent, or need not be any more.
      if isStream(socket) { closeNow(socket) }
      return
    }
    var systemError: Int32 = 0
    if case .reset(let code) = end { systemError = code }
    streamGone(slot, .reset, systemError: systemError, at: now)
  }

  /// The peer broke the protocol: nothing that follows can be trusted.
  mutating func breakStream(_ socket: SocketID, at now: Instant) {
    let slot = owner(socket)
    resetNow(socket)
    if let slot { streamGone(slot, .protocolError, systemError: 0, at: now) }
  }

  private mutating func streamGone(
    _ slot: Int, _ status: Status, systemError: Int32, at now: Instant
  ) {
    switch connections[slot].phase {
    case .open, .closing: lose(slot, status, systemError: systemError, at: now)
    case .awaitingHello: discard(slot)
    default: candidateFailed(slot, status, systemError: systemError, at: now)
    }
  }

  /// Answers a hello on a stream with a close. No event has told of the connection, and none will.
  mutating func refuse(_ slot: Int, _ reason: CloseReason, at now: Instant) {
    let socket = connections[slot].socket
    appendToStream(socket, .close(reason), session: nil)
    beginClosing(socket, at: now)
    discard(slot)
    lingerRefused(socket)
  }

  /// A refused stream has no place of its listener or its prefix, so whoever connects, is refused and
  /// never closes is bounded here: the oldest of too many does not wait for FIN any more.
  private mutating func lingerRefused(_ socket: SocketID) {
    refusals += 1
    awake(socket).refusal = refusals
    refusedStreams.append(RefusedStream(socket: socket, refusal: refusals))
    guard refusedStreams.count > configuration.maxRefusedStreams,
      let oldest = refusedStreams.popFirst(), stream(oldest.socket)?.refusal == oldest.refusal
    else { return }
    giveUp(oldest.socket)
  }

  /// From here the stream has no connection: it writes what it has, sends FIN, and waits for the
  /// peer's.
  mutating func beginClosing(_ socket: SocketID, at now: Instant) {
    guard isStream(socket) else { return }
    // What comes is thrown away, so that the peer's FIN is seen behind it.
    resumeStream(socket)
    let stream = awake(socket)
    sockets[Int(socket.rawValue)].owner = ConnectionRecord.noSlot
    sockets[Int(socket.rawValue)].phase = .closing
    holdNothing(stream)
    stream.timer = timers.schedule(
      .linger, Int(socket.rawValue), at: now + Endpoint.flushTime)
  }

  /// A closing stream has written what it had: FIN follows, and the peer's is waited for.
  mutating func beginLingering(_ socket: SocketID, _ stream: StreamState, at now: Instant) {
    sockets[Int(socket.rawValue)].phase = .lingering
    actions.append(.shutdownWrite(socket))
    timers.cancel(&stream.timer)
    stream.timer = timers.schedule(
      .linger, Int(socket.rawValue), at: now + Endpoint.lingerTime)
  }

  mutating func lingerTimer(_ socket: SocketID) {
    guard let stream = stream(socket) else { return }
    stream.timer = .none
    giveUp(socket)
  }

  /// Closes a stream that has no connection, whether the peer has taken everything or not.
  private mutating func giveUp(_ socket: SocketID) {
    if sockets[Int(socket.rawValue)].phase == .lingering {
      closeNow(socket)
    } else {
      resetNow(socket)
    }
  }
}
