extension RunLoop {
  /// Bytes that are read from a stream at once.
  static let streamReadBytes = 262_144

  /// Accepts up to 64 connections.
  func acceptAll(
    _ listener: LoopSocket, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    for _ in 0..<64 where listener.isOpen && !isEnding {
      var remote = Address.unspecified
      do throws(Errno) {
        let descriptor = try TCPSocket.accept(listener.fd, remote: &remote)
        let open = try OpenSocket(descriptor: descriptor, isIPv6: listener.isIPv6)
        let socket = try adopt(open, role: .stream, interest: .readable)
        listener.isShedding = false
        if !endpoint.accepted(
          listener.id, socket.id, remote: remote, local: socket.local, at: now)
        {
          remove(socket.id)
        }
      } catch {
        if error == .wouldBlock { return .drained }
        if !goOn(listener, after: error) {
          settle(deliver)
          return .drained
        }
      }
      settle(deliver)
    }
    return .more
  }

  /// Whether accepting may go on at once after `error`.
  private func goOn(_ listener: LoopSocket, after error: Errno) -> Bool {
    if error.isOfOneConnection { return true }
    if !listener.isShedding {
      listener.isShedding = true
      note(.error, "accepting failed, error ", Int(error.rawValue))
      endpoint.acceptFailed(
        listener.id, error.status, systemError: error.rawValue, at: now)
    }
    if error.isDescriptorShortage && shedOne(listener) { return true }
    pause(listener)
    return false
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
    paused.append(listener.token)
    if pauseEnds == nil { pauseEnds = now + .milliseconds(100) }
  }

  /// Polls the listeners again whose pause is over.
  func resumeListeners() {
    guard let pauseEnds, pauseEnds <= now else { return }
    self.pauseEnds = nil
    if reserve == nil { refillReserve() }
    for token in paused {
      if let listener = sockets[token: token] { watch(listener, for: .readable) }
    }
    paused.removeAll()
  }

  /// A connection attempt has ended, one way or the other.
  func finishConnecting(_ socket: LoopSocket, _ handle: Handle) {
    // The core has given this attempt up and its close waits: made free here, the id could be
    // another's by then.
    guard endpoint.socketIsOpen(socket.id) else { return }
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
    _ socket: LoopSocket, _ readiness: Readiness, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    if readiness.contains(.writable) && socket.isBlocked {
      setBlocked(socket, false)
      writeStream(socket.id)
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
        unwatch(socket)
        socket.isUnpolled = true
      }
      return .drained
    }
    return readStream(socket, deliver)
  }

  /// Reads once; streams with more come again after the others.
  private func readStream(
    _ socket: LoopSocket, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    guard endpoint.mayRead(socket.id) else {
      settle(deliver)
      return .drained
    }
    let buffer = streamBuffer ?? StreamBuffer(capacity: Self.streamReadBytes)
    streamBuffer = buffer
    do throws(Errno) {
      let count = try buffer.read(from: socket.fd)
      guard count > 0 else {
        endReading(socket)
        settle(deliver)
        return .drained
      }
      buffer.withBytes(count) { bytes in
        endpoint.receiveStream(bytes, on: socket.id, at: now)
        settle(bytes, deliver)
      }
      return count == buffer.capacity ? .more : .drained
    } catch {
      guard error != .wouldBlock else { return .drained }
      fail(socket, error)
      settle(deliver)
      return .drained
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
    if !socket.isUnpolled { unwatch(socket) }
    endpoint.streamEnded(socket.id, .reset(systemError: error.rawValue), at: now)
  }

  /// Ends a stream such that what was written still arrives: bytes left unread would make its close
  /// a reset.
  func finish(_ socket: LoopSocket) {
    do throws(Errno) {
      try TCPSocket.shutdownWrite(socket.fd)
      guard let streamBuffer else { return }
      for _ in 0..<16 where try streamBuffer.read(from: socket.fd) > 0 {}
    } catch {
      note(.debug, "closing a stream, error ", Int(error.rawValue))
    }
  }
}
