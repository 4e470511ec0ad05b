/// TCP: what streams need, and the frames that come.
extension Endpoint {
  /// How many streams at work leave their memory to later ones, and how many if that is little.
  private static let maxSpareStreams = 32
  private static let maxSmallSpareStreams = 256

  /// What a stream needs while it is at work; nil while it is idle, and of what is no stream.
  func stream(_ socket: SocketID) -> StreamState? {
    let index = Int(socket.rawValue)
    return index < sockets.count ? sockets[index].stream : nil
  }

  func isStream(_ socket: SocketID) -> Bool {
    let index = Int(socket.rawValue)
    return index < sockets.count && sockets[index].kind == .stream
  }

  /// Whether a stream is not read because the program takes no more.
  func isPaused(_ socket: SocketID) -> Bool {
    isStream(socket) && sockets[Int(socket.rawValue)].isPaused
  }

  /// Whether nothing waits to be written to a stream.
  func hasWritten(_ socket: SocketID) -> Bool { stream(socket)?.out.isEmpty ?? true }

  /// What a stream needs to be at work, made on first use.
  @inline(__always)
  mutating func awake(_ socket: SocketID) -> StreamState {
    let index = Int(socket.rawValue)
    if let stream = sockets[index].stream { return stream }
    let stream = spareStreams.popLast() ?? StreamState()
    sockets[index].stream = stream
    return stream
  }

  /// A stream that has nothing to do needs no memory: the next one that has uses it.
  mutating func rest(_ socket: SocketID) {
    guard let stream = stream(socket), stream.isIdle else { return }
    sockets[Int(socket.rawValue)].stream = nil
    let most = stream.out.isSmall ? Self.maxSmallSpareStreams : Self.maxSpareStreams
    if spareStreams.count < most { spareStreams.append(stream) }
  }

  /// The bytes that came next on a stream. Returns how many of them were consumed: all, unless
  /// `limit` events wait to be polled; then the rest is to be given again after them.
  @discardableResult
  package mutating func receiveStream(
    _ bytes: Span<UInt8>, on socket: SocketID, at now: Instant, events limit: Int = .max
  ) -> Int {
    guard isReceiving(socket, at: now) else {
      counters.bytesReceived &+= UInt64(bytes.count)
      return bytes.count
    }
    var offset = 0
    do throws(DropReason) {
      while offset < bytes.count, events.count < limit, let slot = owner(socket) {
        try receiveFrames(bytes, from: &offset, on: socket, slot, limit, at: now)
      }
    } catch {
      giveBackWhole()
      counters.drop(error)
      breakStream(socket, at: now)
    }
    if owner(socket) == nil { offset = bytes.count }
    counters.bytesReceived &+= UInt64(offset)
    partMoved(socket, at: now)
    return offset
  }

  /// Whether what comes on a stream is looked at. A part of a frame is a sign of life too: no
  /// heartbeat can come in the middle of a long message.
  private mutating func isReceiving(_ socket: SocketID, at now: Instant) -> Bool {
    guard isStream(socket), sockets[Int(socket.rawValue)].phase == .open else { return false }
    if let slot = owner(socket) { connections[slot].lastHeard = now }
    return true
  }

  /// Frames from the front: plain ones that are whole, and then one that is not, or the first part
  /// of one.
  private mutating func receiveFrames(
    _ bytes: Span<UInt8>, from offset: inout Int, on socket: SocketID, _ slot: Int, _ limit: Int,
    at now: Instant
  ) throws(DropReason) {
    let isInside = stream(socket)?.deframer.isInsideFrame == true
    if connections[slot].phase == .open, !isInside {
      receivePlain(bytes, from: &offset, slot, limit, at: now)
      guard offset < bytes.count, events.count < limit else { return }
    }
    let largest = connections[slot].hasSession ? ownLargest(slot) : Introduction.helloSize
    // What is whole needs no memory.
    if !isInside, let frame = try StreamDeframer.wholeFrame(bytes, from: &offset, largest) {
      return try receiveFrame(frame, bytes, slot, at: now)
    }
    let state = awake(socket)
    let frame = try state.deframer.next(
      bytes, from: &offset, maxMessage: largest, credit: credit(state, socket),
      buffers: &largeBuffers)
    guard let frame else { return }
    if frame.payload.place == .owned { ownWhole(of: state, socket) }
    try receiveFrame(frame, bytes, slot, at: now)
    giveBackWhole()
  }

  /// Plain frames that are whole, as long as they are nothing else: the way of almost every message.
  private mutating func receivePlain(
    _ bytes: Span<UInt8>, from offset: inout Int, _ slot: Int, _ limit: Int, at now: Instant
  ) {
    let largest = ownLargest(slot)
    // What is the same of each message is done once for all.
    let isSimple = !keepsMessages && fullReceivers == 0
    var event = WaitingEvent(slot: UInt32(truncatingIfNeeded: slot), kind: .message)
    var messages = 0
    var payloadBytes = 0
    while events.count < limit,
      let frame = PlainFrame(bytes, at: offset, maxMessage: largest)
    {
      let start = offset &+ frame.overhead
      offset = start &+ frame.count
      let payload = Payload.input(offset: start, count: frame.count)
      if isSimple, frame.kind == .oneWay {
        event.payload = payload
        events.append(event)
        messages &+= 1
        payloadBytes &+= frame.count
      } else if isSimple, let messageID = frame.messageID {
        let isTold = receiveFreely(
          isRequest: frame.kind == .request, frame.replyID, messageID, payload, slot, at: now)
        guard isTold else { continue }
        messages &+= 1
        payloadBytes &+= frame.count
      } else {
        receiveMessage(
          frame.kind, PacketHeader(kind: frame.kind, flags: .fragment, replyID: frame.replyID),
          messageID: frame.messageID, payload: payload, slot, isTracked: false, at: now)
        if fullReceivers > 0, !takesMessages(slot) { pauseStream(slot) }
      }
    }
    if messages > 0 { count(messages, bytes: payloadBytes, slot) }
  }

  /// One frame. A failure breaks the stream.
  mutating func receiveFrame(
    _ frame: Frame, _ bytes: Span<UInt8>, _ slot: Int, at now: Instant
  ) throws(DropReason) {
    guard let kind = PacketKind(rawValue: frame.head.header.kind) else {
      counters.drop(.kind)
      return
    }
    let isHandshake = kind == .hello || kind == .accept
    guard (frame.head.session != nil) == isHandshake else { throw .malformed }
    switch (connections[slot].phase, kind) {
    case (.awaitingHello, .hello):
      try receiveStreamHello(frame, bytes, slot, at: now)
    case (.helloing, .accept):
      try receiveStreamAccept(frame, bytes, slot, at: now)
    case (.helloing, .close):
      refused(slot, frame.head.header.closeReason, at: now)
    case (.open, .oneWay), (.open, .request), (.open, .reply), (.open, .reliable):
      try receiveStreamMessage(kind, frame, bytes, slot, at: now)
    case (.closing, .oneWay), (.closing, .request), (.closing, .reply), (.closing, .reliable):
      drop(.ended, slot)
    case (.open, .heartbeat), (.closing, .heartbeat):
      counters.heartbeatsReceived &+= 1
    case (.open, .close), (.closing, .close):
      closedByPeer(slot, frame.head.header.closeReason, at: now)
    case (.open, .ack), (.closing, .ack):
      guard let ack = streamAck(frame, bytes) else { throw .malformed }
      receiveStreamAck(ack.count, slot, at: now)
    case (.open, .cookie), (.open, .pathChallenge), (.open, .pathResponse),
      (.open, .datagramNumber), (.closing, .cookie), (.closing, .pathChallenge),
      (.closing, .pathResponse), (.closing, .datagramNumber):
      drop(.kind, slot)
    default:
      throw .malformed
    }
  }

  private mutating func receiveStreamHello(
    _ frame: Frame, _ bytes: Span<UInt8>, _ slot: Int, at now: Instant
  ) throws(DropReason) {
    guard frame.head.session == 0,
      let hello = introduction(frame, bytes, atLeast: Introduction.helloSize)
    else { throw .short }
    guard let state = connections[Int(connections[slot].listener)].listenerState, hasRoom(state)
    else {
      counters.drop(.connectionsFull)
      return refuse(slot, .overload, at: now)
    }
    timers.cancel(&connections[slot].timer)
    // It has its place of its source prefix since it was accepted.
    connections.unlink(slot, from: &state.awaitingStreams)
    connections.append(slot, to: &state.connections)
    connections[slot].session = newSession()
    open(slot, peer: hello, at: now)
    emit(.connectionReady, slot)
    appendToStream(
      connections[slot].socket, .accept(introduction(slot)), session: hello.session)
  }

  /// A stream no longer waits for its hello.
  mutating func stopAwaiting(_ slot: Int) {
    guard let state = connections[Int(connections[slot].listener)].listenerState else { return }
    connections.unlink(slot, from: &state.awaitingStreams)
    state.prefixes.remove(connections[slot].remote.ip)
  }

  private mutating func receiveStreamAccept(
    _ frame: Frame, _ bytes: Span<UInt8>, _ slot: Int, at now: Instant
  ) throws(DropReason) {
    guard frame.head.session == connections[slot].session,
      let accept = introduction(frame, bytes, atLeast: Introduction.acceptSize)
    else { throw .malformed }
    accepted(slot, by: accept, at: now)
  }

  private func introduction(_ frame: Frame, _ bytes: Span<UInt8>, atLeast size: Int)
    -> Introduction?
  {
    switch frame.payload.place {
    case .none: nil
    case .input: Introduction(bytes, frame.payload.range, atLeast: size)
    case .owned: Introduction(wholeMessage.span, 0..<wholeMessage.count, atLeast: size)
    }
  }

  private func streamAck(_ frame: Frame, _ bytes: Span<UInt8>) -> StreamAck? {
    switch frame.payload.place {
    case .none: nil
    case .input: StreamAck(bytes, frame.payload.range)
    case .owned: StreamAck(wholeMessage.span, 0..<wholeMessage.count)
    }
  }

  private mutating func receiveStreamMessage(
    _ kind: PacketKind, _ frame: Frame, _ bytes: Span<UInt8>, _ slot: Int, at now: Instant
  ) throws(DropReason) {
    // A reply that comes after its time-out could meet a new request with the same 16 bits.
    if kind == .request || kind == .reply, frame.head.messageID == nil { throw .malformed }
    var payload = frame.payload
    if frame.head.header.flags.contains(.options) { payload = try withoutOptions(payload, bytes) }
    guard payload.count <= ownLargest(slot) else { throw .tooBig }
    if kind == .reliable {
      let traffic = traffic(slot)
      traffic.reliableFramesReceived &+= 1
      traffic.owesStreamAck = true
      markStreamReady(connections[slot].socket)
    }
    receiveMessage(
      kind, frame.head.header, messageID: frame.head.messageID, payload: payload, slot,
      isTracked: false, at: now)
    if !takesMessages(slot) { pauseStream(slot) }
  }

  /// A payload less the options at its front.
  private mutating func withoutOptions(
    _ payload: Payload, _ bytes: Span<UInt8>
  ) throws(DropReason) -> Payload {
    switch payload.place {
    case .none:
      throw .short
    case .input:
      let start = try OptionBlock.end(bytes, payload.range)
      return .input(offset: start, count: payload.range.upperBound - start)
    case .owned:
      wholeMessage.removeFirst(try OptionBlock.end(wholeMessage.span, payload.range))
      return .owned(count: wholeMessage.count)
    }
  }
}
