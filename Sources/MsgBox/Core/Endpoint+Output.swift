/// What goes to the sockets: datagrams, packed and single, and the end of sockets.
extension Endpoint {
  // MARK: Sockets

  func socketIsOpen(_ socket: SocketID) -> Bool {
    let index = Int(socket.rawValue)
    return index < sockets.count && sockets[index].kind != .free
  }

  /// The slot of the listener or connection that a socket belongs to.
  func owner(_ socket: SocketID) -> Int? {
    guard socketIsOpen(socket) else { return nil }
    let owner = sockets[Int(socket.rawValue)].owner
    return owner == ConnectionRecord.noSlot ? nil : Int(owner)
  }

  mutating func claim(_ socket: SocketID, _ kind: SocketState.Kind, owner: Int) {
    let index = Int(socket.rawValue)
    while sockets.count <= index { sockets.append(SocketState()) }
    sockets[index] = SocketState()
    sockets[index].kind = kind
    sockets[index].owner = UInt32(owner)
  }

  /// Forgets a socket that the loop has closed or will close. Messages that a stream has not sent
  /// are counted.
  mutating func release(_ socket: SocketID) {
    guard socketIsOpen(socket) else { return }
    let index = Int(socket.rawValue)
    if let stream = sockets[index].stream {
      timers.cancel(&stream.timer)
      counters.drop(.ended, count: UInt64(stream.messageEnds.count))
    }
    sockets[index] = SocketState()
  }

  mutating func closeNow(_ socket: SocketID) {
    guard socketIsOpen(socket) else { return }
    release(socket)
    actions.append(.close(socket))
  }

  mutating func resetNow(_ socket: SocketID) {
    guard socketIsOpen(socket) else { return }
    release(socket)
    actions.append(.reset(socket))
  }

  /// Closes a UDP socket once it has sent everything and repeats no close.
  mutating func finish(_ socket: SocketID) {
    guard socketIsOpen(socket) else { return }
    sockets[Int(socket.rawValue)].isFinishing = true
    finishIfIdle(socket)
  }

  mutating func finishIfIdle(_ socket: SocketID) {
    guard socketIsOpen(socket) else { return }
    let state = sockets[Int(socket.rawValue)]
    guard state.isFinishing, state.out.isEmpty, state.repeatingCloses == 0 else { return }
    let listener = owner(socket)
    closeNow(socket)
    if let listener, connections[listener].phase == .retiring { endListener(listener) }
  }

  /// The socket's send buffer is full (true) or has room again (false): `pollTransmit` passes over
  /// full sockets.
  package mutating func setBlocked(_ socket: SocketID, _ blocked: Bool) {
    guard socketIsOpen(socket) else { return }
    let index = Int(socket.rawValue)
    sockets[index].isBlocked = blocked
    guard !blocked else { return }
    if sockets[index].stream != nil {
      markStreamReady(socket)
    } else if !sockets[index].out.isEmpty {
      markReady(socket)
    }
  }

  /// The system refused to send a datagram for another reason than a full buffer.
  package mutating func sendFailed(_ socket: SocketID, systemError: Int32, at now: Instant) {
    counters.drop(.sendFailed)
    guard let slot = owner(socket), let state = connections[slot].clientState,
      connections[slot].phase == .helloing
    else { return }
    state.failure = .unreachable
    state.failureError = systemError
  }

  // MARK: Datagrams

  /// Sends a packet of a connection that carries no message, in a datagram of its own or as a
  /// frame.
  mutating func sendControl(_ packet: ControlPacket, session: UInt64?, _ slot: Int) {
    let connection = connections[slot]
    enqueue(
      OutDatagram(
        content: .control(packet, session: session), remote: connection.remote,
        local: connection.sendLocal),
      on: connection.socket)
  }

  /// Answers a datagram of somebody who is no connection.
  mutating func answer(_ packet: ControlPacket, session: UInt64, _ source: DatagramSource) {
    enqueue(
      OutDatagram(
        content: .control(packet, session: session), remote: source.remote, local: source.local),
      on: source.socket)
  }

  mutating func answerStranger(
    _ packet: ControlPacket, session: UInt64, _ source: DatagramSource, at now: Instant
  ) {
    if answerBudget.spend(on: source.remote.ip, at: now) {
      answer(packet, session: session, source)
    } else {
      counters.drop(.answerBudget)
    }
  }

  mutating func enqueue(_ datagram: OutDatagram, on socket: SocketID) {
    guard socketIsOpen(socket) else { return }
    let index = Int(socket.rawValue)
    if sockets[index].isBlocked, case .control = datagram.content,
      sockets[index].out.count >= SocketState.blockedMark
    {
      counters.drop(.sendFailed)
      return
    }
    sockets[index].out.append(datagram)
    markReady(socket)
  }

  private mutating func markReady(_ socket: SocketID) {
    let index = Int(socket.rawValue)
    guard !sockets[index].isReady, !sockets[index].isBlocked else { return }
    sockets[index].isReady = true
    readySockets.append(socket)
  }

  // MARK: Packing

  /// Adds a message to the datagram that its connection fills in this turn.
  mutating func pack(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, _ traffic: Traffic
  ) {
    let session = connections[slot].sendSession
    if traffic.builder?.append(head, session: session, payload: message) != true {
      seal(slot)
      traffic.builder = DatagramBuilder(buffer: takeBuffer())
      // An empty datagram takes any message that `queue` has let through.
      _ = traffic.builder?.append(head, session: session, payload: message)
    }
    traffic.builderMessages += 1
    traffic.builderBytes += message.count
    if !connections[slot].flags.contains(.hasOpenDatagram) {
      connections[slot].flags.insert(.hasOpenDatagram)
      openDatagrams.append(UInt32(slot))
    }
  }

  /// Finishes the open datagram of a connection, if it has one.
  mutating func seal(_ slot: Int) {
    guard let traffic = connections[slot].traffic, traffic.builder?.isEmpty == false,
      let bytes = traffic.builder?.seal()
    else { return }
    let connection = connections[slot]
    let datagram = OutDatagram(
      content: .packed(bytes), remote: connection.remote,
      local: connection.sendLocal,
      connection: UInt32(slot), generation: connections.generation(slot),
      messages: traffic.builderMessages, bytes: traffic.builderBytes)
    traffic.builder = nil
    traffic.builderMessages = 0
    traffic.builderBytes = 0
    enqueue(datagram, on: connection.socket)
  }

  mutating func sealOpenDatagrams() {
    while let number = openDatagrams.popFirst() {
      let slot = Int(number)
      connections[slot].flags.remove(.hasOpenDatagram)
      seal(slot)
    }
  }

  private mutating func takeBuffer() -> [UInt8] {
    if let buffer = buffers.popLast() { return buffer }
    var buffer: [UInt8] = []
    buffer.reserveCapacity(WireFormat.maxDatagram)
    return buffer
  }

  private mutating func giveBack(_ buffer: [UInt8]) {
    if buffers.count < 256 { buffers.append(buffer) }
  }

  // MARK: Transmits

  /// The next datagram, written to the front of `buffer` (at least 1200 bytes), or nil.
  package mutating func pollTransmit(into buffer: inout MutableSpan<UInt8>, at now: Instant)
    -> Transmit?
  {
    while true {
      if readySockets.isEmpty { sealOpenDatagrams() }
      guard let socket = readySockets.first else { return nil }
      let index = Int(socket.rawValue)
      guard socketIsOpen(socket), !sockets[index].isBlocked,
        let datagram = sockets[index].out.popFirst()
      else {
        _ = readySockets.popFirst()
        if socketIsOpen(socket) { sockets[index].isReady = false }
        finishIfIdle(socket)
        continue
      }
      let count = write(datagram, into: &buffer)
      counters.datagramsSent &+= 1
      counters.bytesSent &+= UInt64(count)
      credit(datagram, at: now)
      return Transmit(
        socket: socket, remote: datagram.remote, local: datagram.local, count: count)
    }
  }

  private mutating func write(_ datagram: OutDatagram, into buffer: inout MutableSpan<UInt8>) -> Int
  {
    var bytes: [UInt8]
    switch datagram.content {
    case .packed(let packed):
      bytes = packed
    case .control(let packet, let session):
      bytes = takeBuffer()
      bytes.removeAll(keepingCapacity: true)
      packet.append(to: &bytes, session: session)
    }
    let count = buffer.copyToFront(bytes.span) ? bytes.count : 0
    giveBack(bytes)
    return count
  }

  /// Takes what the system is about to get out of the connection's marks.
  private mutating func credit(_ datagram: OutDatagram, at now: Instant) {
    guard datagram.connection != ConnectionRecord.noSlot else { return }
    let slot = Int(datagram.connection)
    guard connections.contains(slot, generation: datagram.generation),
      let traffic = connections[slot].traffic
    else { return }
    connections[slot].lastSent = now
    releaseQueued(traffic, messages: datagram.messages, bytes: datagram.bytes)
    tellWritable(slot)
  }
}
