extension RunLoop {
  /// Bytes that are read from a stream at once.
  static let streamReadBytes = 262_144
  /// Bytes that are read behind a large message, whose memory comes first, and where another is
  /// expected: enough for its head.
  private static let directReadBytes = 4096
  /// How often a stream is read before others have their turn.
  private static let streamReads = 4
  /// Events that wait to be delivered at most before more bytes are looked at: they stay in the
  /// processor's cache.
  private static let eventsAtOnce = 128

  /// Accepts up to 64 connections.
  func acceptAll(
    _ listener: LoopSocket, at time: Instant, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    for step in 0..<64 where listener.isOpen && !isEnding {
      do throws(Errno) {
        try acceptOne(listener, at: time)
        listener.isShedding = false
      } catch {
        if error == .wouldBlock { return .drained }
        // Without descriptors the system says so also where nobody waits: only the poller knows then.
        if error.isDescriptorShortage, step > 0 { return .more }
        if !error.isOfOneConnection { return failed(listener, error, at: time, deliver) }
      }
      if endpoint.hasNews { settle(deliver) }
    }
    return .more
  }

  private func acceptOne(_ listener: LoopSocket, at time: Instant) throws(Errno) {
    var remote = Address.unspecified
    let descriptor = try TCPSocket.accept(listener.fd, remote: &remote)
    // Its own address is the listener's; where that has none, nobody asks.
    let local = listener.local
    let open = OpenSocket(descriptor: descriptor, isIPv6: listener.isIPv6, local: local)
    let socket = try adopt(open, role: .stream, interest: .readable)
    if !endpoint.accepted(listener.id, socket.id, remote: remote, local: local, at: time) {
      remove(socket.id)
    }
  }

  /// Accepting the connection that waits has failed with `error`, not through its own fault.
  private func failed(
    _ listener: LoopSocket, _ error: Errno, at time: Instant,
    _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    if !listener.isShedding {
      listener.isShedding = true
      note(.error, "accepting failed, error ", Int(error.rawValue))
      endpoint.acceptFailed(
        listener.id, error.status, systemError: error.rawValue, at: now)
    }
    let isServed =
      error.isDescriptorShortage
      && (acceptInstead(listener, at: time, deliver) || shedOne(listener))
    if !isServed { pause(listener) }
    settle(deliver)
    return isServed ? .more : .drained
  }

  /// Accepts one connection in the place of a stream that waits for its hello. False if there is no
  /// such stream, or its descriptor was not enough.
  private func acceptInstead(
    _ listener: LoopSocket, at time: Instant, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Bool {
    guard endpoint.endAwaiting(at: listener.id) else { return false }
    settle(deliver)
    guard listener.isOpen, !isEnding else { return true }
    do throws(Errno) {
      // The shortage is not over with that, so the next one is not told anew.
      try acceptOne(listener, at: time)
      return true
    } catch {
      return error == .wouldBlock || error.isOfOneConnection
    }
  }

  /// Accepts one connection by the descriptor kept in reserve, only to close it, so that its peer
  /// learns of it and the listener does not stay ready for ever.
  private func shedOne(_ listener: LoopSocket) -> Bool {
    reserve = nil
    var hasShed = false
    do throws(Errno) {
      var remote = Address.unspecified
      _ = try TCPSocket.accept(listener.fd, remote: &remote)
      hasShed = true
    } catch {
      // A listener with nothing more to accept needs no pause.
      hasShed = error == .wouldBlock
    }
    refillReserve()
    return hasShed
  }

  private func refillReserve() {
    do throws(Errno) {
      reserve = try FileDescriptor.reserve()
    } catch {
      note(.debug, "no descriptor to keep in reserve, error ", Int(error.rawValue))
    }
  }

  /// Leaves a listener alone for 100 ms.
  private func pause(_ listener: LoopSocket) {
    watch(listener, for: .none)
    // One that is polled all the same may come here again before that.
    if !paused.contains(listener.token) { paused.append(listener.token) }
    beginPause()
  }

  /// What cannot be polled now is polled again in 100 ms.
  func beginPause() {
    if pauseEnds == nil { pauseEnds = now + .milliseconds(100) }
  }

  /// Polls those again whose pause is over.
  func resumePolling() {
    guard let pauseEnds, pauseEnds <= now else { return }
    self.pauseEnds = nil
    if reserve == nil { refillReserve() }
    watchMiswatched()
    for token in paused {
      if let listener = sockets[token: token] { watch(listener, for: .readable) }
    }
    paused.removeAll()
  }

  /// A connection attempt has ended, one way or the other.
  func finishConnecting(_ socket: LoopSocket) {
    // Without an owner the core has given this attempt up and its close waits: made free here, the
    // id could be another's by then.
    guard let handle = endpoint.handle(ofOwner: socket.id) else { return }
    do throws(Errno) {
      if let error = TCPSocket.takeError(of: socket.fd) { throw error }
      socket.role = .stream
      watch(socket, for: .readable)
      endpoint.streamConnected(socket.id, local: try localAddress(of: socket.fd), at: now)
    } catch {
      note(.info, "connecting failed, error ", Int(error.rawValue))
      remove(socket.id)
      endpoint.openFailed(handle, error.status, systemError: error.rawValue, at: now)
    }
  }

  func serveStream(
    _ socket: LoopSocket, _ readiness: Readiness, at time: Instant,
    _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    if readiness.contains(.writable) && socket.isBlocked {
      setBlocked(socket, false)
      writeStream(socket.id, at: time)
    }
    guard socket.isOpen, !socket.hasFailed else { return .drained }
    if socket.hasReadEnd {
      // Nothing is left to read, so the rest of it can only be the end of writing.
      if readiness.contains(.failed) { fail(socket, socket.writeError ?? .brokenPipe) }
      settle(deliver)
      return .drained
    }
    guard readiness != .writable else { return .drained }
    if socket.isPaused {
      // What came before it hung up waits until it is read again; that it hung up would be told
      // with each poll until then.
      if readiness.contains(.failed), !socket.isUnpolled {
        // If it is polled all the same, adding it again would fail.
        socket.isUnpolled = unwatch(socket)
      }
      return .drained
    }
    return readStream(socket, at: time, deliver)
  }

  /// Reads while a read fills its room, up to a limit; streams with more come again after the
  /// others.
  private func readStream(
    _ socket: LoopSocket, at time: Instant, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    var time = time
    let buffer = streamBuffer ?? StreamBuffer(capacity: Self.streamReadBytes)
    streamBuffer = buffer
    for _ in 0..<Self.streamReads {
      guard endpoint.mayRead(socket.id) else {
        settle(deliver)
        return .drained
      }
      do throws(Errno) {
        let isFull = try readOnce(socket, buffer, at: time, deliver)
        guard isFull, socket.isOpen, !socket.isPaused, !isEnding else { return .drained }
      } catch {
        guard error != .wouldBlock else { return .drained }
        fail(socket, error)
        settle(deliver)
        return .drained
      }
      time = now
      if time >= turnEnds { break }
    }
    return .more
  }

  /// Reads once, straight into a large message if a part of one is there. Returns whether there may
  /// be more; false at the end.
  private func readOnce(
    _ socket: LoopSocket, _ buffer: StreamBuffer, at time: Instant,
    _ deliver: (CoreEvent, RawSpan) -> Void
  ) throws(Errno) -> Bool {
    let isDirect = endpoint.missingBytes(of: socket.id) > 0
    var room = 0
    // Behind a large message comes another, perhaps: what is read of it in vain would be moved.
    let limit = isDirect || socket.expectsLarge ? Self.directReadBytes : buffer.capacity
    let count: Int
    if isDirect {
      (count, room) = try readDirect(socket, buffer, limit: limit, at: time)
      settle(deliver)
    } else {
      count = try buffer.read(from: socket.fd, limit: limit)
    }
    guard count > 0 else {
      endReading(socket)
      settle(deliver)
      return false
    }
    if count > room { receive(count - room, of: buffer, socket, at: time, deliver) }
    socket.expectsLarge = isDirect || endpoint.missingBytes(of: socket.id) > 0
    return count == room + limit
  }

  /// Reads into a large message and behind it into the buffer. Returns how many bytes came and how
  /// many of them found room in the message.
  private func readDirect(
    _ socket: LoopSocket, _ buffer: StreamBuffer, limit: Int, at time: Instant
  ) throws(Errno) -> (count: Int, room: Int) {
    var result: Result<Int, Errno> = .success(0)
    var size = 0
    unsafe endpoint.readStream(socket.id, at: time) { room in
      size = room.count
      do throws(Errno) {
        let count = try unsafe buffer.read(from: socket.fd, filling: room, limit: limit)
        result = .success(count)
        return min(count, size)
      } catch {
        result = .failure(error)
        return 0
      }
    }
    return (try result.get(), size)
  }

  /// Gives bytes of the buffer to the core, and what comes of them to the user while they are there.
  private func receive(
    _ count: Int, of buffer: StreamBuffer, _ socket: LoopSocket, at time: Instant,
    _ deliver: (CoreEvent, RawSpan) -> Void
  ) {
    buffer.withBytes(count) { bytes in
      var offset = 0
      while offset < bytes.count, socket.isOpen, !isEnding {
        let rest = bytes.extracting(offset..<bytes.count)
        offset += endpoint.receiveStream(rest, on: socket.id, at: time, events: Self.eventsAtOnce)
        settle(rest, deliver)
      }
    }
  }

  private func endReading(_ socket: LoopSocket) {
    socket.hasReadEnd = true
    if let error = socket.writeError {
      fail(socket, error)
    } else {
      watch(socket, for: socket.interest.subtracting(.readable))
      endpoint.streamEnded(socket.id, .finished, at: now)
    }
  }

  /// Tells the core, once, that a stream is gone; it stays open until the core has it closed.
  func fail(_ socket: LoopSocket, _ error: Errno) {
    guard !socket.hasFailed else { return }
    socket.hasFailed = true
    if !socket.isUnpolled { _ = unwatch(socket) }
    endpoint.streamEnded(socket.id, .reset(systemError: error.rawValue), at: now)
  }

  /// Ends a stream such that what was written still arrives: bytes left unread would make its close
  /// a reset.
  func finish(_ socket: LoopSocket) {
    do throws(Errno) {
      try TCPSocket.shutdownWrite(socket.fd)
      guard let streamBuffer else { return }
      var reads = 0
      while reads < 16, try streamBuffer.read(from: socket.fd) > 0 { reads += 1 }
    } catch {
      note(.debug, "closing a stream, error ", Int(error.rawValue))
    }
  }
}
