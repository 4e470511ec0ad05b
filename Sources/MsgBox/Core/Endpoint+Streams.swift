/// TCP: frames in, frames out, and the three ways in which a stream ends.
extension Endpoint {
  /// How long a closing stream may take to write what it has queued.
  private static let flushTime = Interval.seconds(10)
  /// How long it then waits for the peer's FIN, so that the kernel does not answer late bytes with
  /// a RST that would destroy the close frame.
  private static let lingerTime = Interval.seconds(2)
  /// How many streams at work leave their memory to later ones.
  private static let maxSpareStreams = 32

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
    if spareStreams.count < Self.maxSpareStreams { spareStreams.append(stream) }
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
    let stream = stream(socket)
    if connections[slot].phase == .open, stream?.deframer.isInsideFrame != true {
      receivePlain(bytes, from: &offset, slot, limit, at: now)
      guard offset < bytes.count, events.count < limit else { return }
    }
    let largest = connections[slot].hasSession ? ownLargest(slot) : Introduction.helloSize
    let state = stream ?? awake(socket)
    let frame = try state.deframer.next(bytes, from: &offset, maxMessage: largest) {
      largeBuffers.take()
    }
    guard let frame else { return }
    if frame.payload.place == .owned { _ = own(state.deframer.takeWhole()) }
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
      } else {
        receiveMessage(
          frame.kind, PacketHeader(kind: frame.kind, flags: .fragment, replyID: frame.replyID),
          messageID: frame.messageID, payload: payload, slot, isTracked: false, at: now)
        if fullReceivers > 0, !takesMessages(slot) { pauseStream(slot) }
      }
    }
    if messages > 0 { count(messages, bytes: payloadBytes, slot) }
  }

  // MARK: Frames in parts

  /// How much is missing of a large message on a stream that is to be read with `readStream`; 0 if
  /// what comes is to be given to `receiveStream`.
  package func missingBytes(of socket: SocketID) -> Int {
    guard let missing = stream(socket)?.deframer.missingBytes,
      missing >= StreamDeframer.directBytes, sockets[Int(socket.rawValue)].phase == .open
    else { return 0 }
    return missing
  }

  /// Lets `read` put what comes next on a stream straight behind what is there of a large message:
  /// it gets the room for some of the bytes that are missing, and returns how many it has put there.
  package mutating func readStream(
    _ socket: SocketID, at now: Instant, _ read: (UnsafeMutableRawBufferPointer) -> Int
  ) {
    guard missingBytes(of: socket) > 0, let stream = stream(socket), let slot = owner(socket) else {
      return
    }
    let before = stream.deframer.missingBytes
    let frame = unsafe stream.deframer.read(read)
    let came = before - stream.deframer.missingBytes
    guard came > 0 else { return }
    connections[slot].lastHeard = now
    counters.bytesReceived &+= UInt64(came)
    do throws(DropReason) {
      if let frame {
        _ = own(stream.deframer.takeWhole())
        try receiveFrame(frame, Span(), slot, at: now)
        giveBackWhole()
      }
    } catch {
      giveBackWhole()
      counters.drop(error)
      breakStream(socket, at: now)
    }
    partMoved(socket, at: now)
  }

  /// A stream has more or less of a frame than before.
  private mutating func partMoved(_ socket: SocketID, at now: Instant) {
    guard let stream = stream(socket) else { return }
    notePart(stream, socket, at: now)
    holdPart(stream, socket, at: now)
    rest(socket)
  }

  /// A part of a message wants a sign of life too, from one that is silent when idle: its sender
  /// cannot wait for the end of a long one.
  private mutating func notePart(_ stream: StreamState, _ socket: SocketID, at now: Instant) {
    guard stream.deframer.heldBytes > 0, let slot = owner(socket),
      connections[slot].flags.contains(.onDemand), connections[slot].phase == .open
    else { return }
    messageMoved(slot, traffic(slot), isOurs: false, at: now)
  }

  /// Counts what is there of a frame in what the box holds. The stream that asks for more than all
  /// may hold together is ended: it could not go on without that frame.
  private mutating func holdPart(_ stream: StreamState, _ socket: SocketID, at now: Instant) {
    guard self.stream(socket) === stream, sockets[Int(socket.rawValue)].phase == .open,
      case let held = stream.deframer.heldBytes, held != stream.heldBytes
    else { return }
    let isMore = held > stream.heldBytes
    heldBytes += held - stream.heldBytes
    stream.heldBytes = held
    guard isMore, heldBytes > Int(clamping: limits.receiveBytes), let slot = owner(socket),
      connections[slot].hasSession
    else { return }
    drop(.memory, slot)
    if connections[slot].phase == .closing {
      finishClosing(slot, at: now)
    } else {
      cutOff(slot, .overload, .overload, at: now)
    }
  }

  /// A stream holds nothing of a frame any more.
  mutating func holdNothing(_ stream: StreamState) {
    heldBytes -= stream.heldBytes
    stream.heldBytes = 0
    stream.deframer = StreamDeframer()
  }

  /// One frame. A failure breaks the stream.
  private mutating func receiveFrame(
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
    let listener = Int(connections[slot].listener)
    let limit = Int(options(slot).maxConnections)
    guard let state = connections[listener].listenerState, state.connections.count < limit else {
      counters.drop(.connectionsFull)
      return refuse(slot, .overload, at: now)
    }
    timers.cancel(&connections[slot].timer)
    stopAwaiting(slot)
    link(slot, to: listener)
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

  // MARK: Ends

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
  private mutating func breakStream(_ socket: SocketID, at now: Instant) {
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
  private mutating func refuse(_ slot: Int, _ reason: CloseReason, at now: Instant) {
    let socket = connections[slot].socket
    appendToStream(socket, .close(reason), session: nil)
    beginClosing(socket, at: now)
    discard(slot)
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

  mutating func lingerTimer(_ socket: SocketID) {
    guard let stream = stream(socket) else { return }
    stream.timer = .none
    if sockets[Int(socket.rawValue)].phase == .lingering {
      closeNow(socket)
    } else {
      resetNow(socket)
    }
  }

  // MARK: Output

  mutating func appendToStream(_ socket: SocketID, _ packet: ControlPacket, session: UInt64?) {
    guard isStream(socket) else { return }
    awake(socket).out.append { StreamFrame.append(packet, session: session, to: &$0) }
    markStreamReady(socket)
  }

  /// Writes a message that counts as queued into the stream of its connection. `shared` is the same
  /// message, if it need not be copied.
  mutating func writeFrame(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, _ traffic: Traffic,
    _ options: SendOptions, shared: MessageBytes? = nil
  ) {
    let socket = connections[slot].socket
    guard isStream(socket) else { return }
    var head = head
    var counts = true
    if options.isReliable, head.kind == .oneWay {
      head.kind = .reliable
      head.messageID = takeMessageID(traffic)
      // The stream keeps the order, so the place says nothing.
      head.place = ChannelPlace(channel: options.channel, place: 0)
      traffic.streamOutbox.append(StreamReliable(bytes: message.count, options: options))
      counts = false
    }
    if let shared, message.count >= StreamQueue.ownPiece {
      awake(socket).out.append(head, sharing: shared, counts: counts)
    } else {
      awake(socket).out.append(head, message, counts: counts)
    }
    markStreamReady(socket)
  }

  /// Writes a small one-way message into the stream of its connection without the time, if that is
  /// all there is to it. False, and nothing has happened, if there is more to it: then it is for
  /// `send`.
  @inline(never)
  package mutating func write(_ message: Span<UInt8>, to handle: Handle) -> Bool {
    guard let slot = slot(handle), connections[slot].transport == .tcp,
      connections[slot].phase == .open, !connections[slot].flags.contains(.onDemand),
      message.count < StreamQueue.ownPiece,
      message.count <= Int(clamping: connections[slot].peerLargest),
      let held = connections[slot].traffic
    else { return false }
    // Its record holds it all the while, so this need not.
    return unsafe Unmanaged.passUnretained(held)._withUnsafeGuaranteedRef { traffic in
      guard takesMore(traffic), traffic.waiting.isEmpty else { return false }
      count(message.count, traffic)
      let socket = connections[slot].socket
      awake(socket).out.append(oneWay: message)
      markStreamReady(socket)
      return true
    }
  }

  @inline(__always)
  mutating func markStreamReady(_ socket: SocketID) {
    let index = Int(socket.rawValue)
    guard !sockets[index].isReady, !sockets[index].isBlocked else { return }
    sockets[index].isReady = true
    readyStreams.append(socket)
  }

  /// The next stream that has bytes to send and is not blocked, or nil. Each is named once until it
  /// has new bytes, or is unblocked with bytes left.
  package mutating func pollStream(at now: Instant) -> SocketID? {
    while let socket = readyStreams.popFirst() {
      guard isStream(socket) else { continue }
      sockets[Int(socket.rawValue)].isReady = false
      guard !sockets[Int(socket.rawValue)].isBlocked else { continue }
      writeWaiting(socket, at: now)
      if !hasWritten(socket) { return socket }
    }
    return nil
  }

  /// Messages that wait in their own form go into a stream that is nearly empty.
  private mutating func writeWaiting(_ socket: SocketID, at now: Instant) {
    guard let slot = owner(socket), connections[slot].hasSession,
      let traffic = connections[slot].traffic
    else { return }
    writeOwedAck(socket, traffic)
    guard !traffic.waiting.isEmpty else { return }
    let stream = awake(socket)
    var hasLate = false
    while stream.out.count < StreamQueue.nearlyEmpty, let message = traffic.waiting.removeFirst() {
      if now > message.deadline {
        expire(message, slot, traffic)
        hasLate = true
      } else {
        writeFrame(
          message.head, message.bytes.span, slot, traffic, message.options,
          shared: message.bytes)
      }
    }
    if hasLate { messagesLeft(slot, at: now) }
    rest(socket)
  }

  /// Tells the peer how many of its reliable frames have come, if that is owed.
  mutating func writeOwedAck(_ socket: SocketID, _ traffic: Traffic) {
    guard traffic.owesStreamAck, isStream(socket) else { return }
    traffic.owesStreamAck = false
    awake(socket).out.append {
      StreamFrame.append(ackCount: traffic.reliableFramesReceived, to: &$0)
    }
  }

  /// The box ends: what waits, and a close behind it, go without their connection.
  mutating func writeLast(_ slot: Int) {
    let socket = connections[slot].socket
    if let traffic = connections[slot].traffic {
      while let message = traffic.waiting.removeFirst() {
        writeFrame(
          message.head, message.bytes.span, slot, traffic, message.options, shared: message.bytes)
      }
      writeOwedAck(socket, traffic)
    }
    appendToStream(socket, .close(.normal), session: nil)
  }

  /// Hands the first unsent bytes of a stream to `write`, which returns how many of them (0...count)
  /// the system took.
  package mutating func writeStream(
    _ socket: SocketID, at now: Instant, _ write: (Span<UInt8>) -> Int
  ) {
    writePieces(socket, at: now) { queue in
      guard queue.pieceCount > 0 else { return 0 }
      let piece = queue.piece(0)
      return write(piece.extracting(0..<min(piece.count, StreamQueue.writeLimit)))
    }
  }

  /// Lends what a stream has to send to `write`, which returns how many bytes of it the system took,
  /// from the front.
  package mutating func writePieces(
    _ socket: SocketID, at now: Instant, _ write: (borrowing StreamQueue) -> Int
  ) {
    guard let stream = stream(socket) else { return }
    let taken = min(max(write(stream.out), 0), stream.out.count)
    if taken > 0 { wrote(taken, socket, stream, at: now) }
    if !stream.out.isEmpty {
      if taken > 0 { markStreamReady(socket) }
    } else if sockets[Int(socket.rawValue)].phase == .closing {
      sockets[Int(socket.rawValue)].phase = .lingering
      actions.append(.shutdownWrite(socket))
      timers.cancel(&stream.timer)
      stream.timer = timers.schedule(
        .linger, Int(socket.rawValue), at: now + Endpoint.lingerTime)
    } else {
      rest(socket)
      if let slot = owner(socket), connections[slot].traffic?.waiting.isEmpty == false {
        markStreamReady(socket)
      }
    }
  }

  /// The system has so many bytes more: the messages that are written by that are taken out of the
  /// connection's marks.
  private mutating func wrote(
    _ taken: Int, _ socket: SocketID, _ stream: StreamState, at now: Instant
  ) {
    let written = stream.out.take(taken)
    counters.bytesSent &+= UInt64(taken)
    guard let slot = owner(socket) else { return }
    connections[slot].lastSent = now
    guard written.messages > 0, let traffic = connections[slot].traffic else { return }
    release(traffic, messages: written.messages, bytes: written.bytes)
    messagesLeft(slot, at: now)
  }

  /// Something left the queue of a stream: the program may go on, or the close is due.
  mutating func messagesLeft(_ slot: Int, at now: Instant) {
    tellWritable(slot)
    if connections[slot].phase == .closing, connections[slot].traffic?.queuedMessages == 0 {
      finishClosing(slot, at: now)
    }
  }

  // MARK: Reliable messages

  /// The peer has so many reliable frames: those messages are delivered.
  private mutating func receiveStreamAck(_ count: UInt32, _ slot: Int, at now: Instant) {
    guard let traffic = connections[slot].traffic,
      case let fresh = count &- traffic.reliableFramesAcknowledged,
      fresh <= UInt32(clamping: traffic.streamOutbox.count)
    else {
      drop(.staleAck, slot)
      return
    }
    traffic.reliableFramesAcknowledged = count
    for _ in 0..<fresh {
      guard let message = traffic.streamOutbox.popFirst() else { break }
      release(traffic, messages: 1, bytes: message.bytes)
      tellOutcome(message.options, .ok, slot)
    }
    messagesLeft(slot, at: now)
  }
}
