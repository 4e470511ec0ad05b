extension RunLoop {
  /// Does what only the loop can do, and answers the core.
  func perform(_ action: Action) {
    switch action {
    case .resolve(let handle, let name, let port): resolve(handle, name, port)
    case .forgetName(let handle): _ = resolver?.forget(id: handle.rawValue)
    case .bind(let handle, let locator, let bufferBytes, let sharesPort):
      bind(handle, locator, bufferBytes, sharesPort)
    case .openDatagram(let handle, let remote, let bufferBytes):
      openDatagram(handle, remote, bufferBytes)
    case .openStream(let handle, let remote): openStream(handle, remote)
    case .close(let id): remove(id)
    case .pause(let id): setReading(id, false)
    case .resume(let id): setReading(id, true)
    case .shutdownWrite(let id): shutdownWrite(id)
    case .reset(let id): reset(id)
    }
  }

  /// Whether a stream is read, or left to fill up because the program takes no more.
  private func setReading(_ id: SocketID, _ reads: Bool) {
    guard let socket = sockets[id], !socket.hasReadEnd, !socket.hasFailed else { return }
    socket.isPaused = !reads
    let interest =
      reads ? socket.interest.union(.readable) : socket.interest.subtracting(.readable)
    if reads, socket.isUnpolled {
      pollAgain(socket, for: interest)
    } else {
      watch(socket, for: interest)
    }
  }

  private func pollAgain(_ socket: LoopSocket, for interest: Readiness) {
    socket.isUnpolled = false
    socket.interest = interest
    do throws(Errno) {
      try poller.add(socket.fd, token: socket.token, for: interest)
    } catch {
      fail(socket, error)
    }
  }

  private func resolve(_ handle: Handle, _ name: [UInt8], _ port: UInt16) {
    do throws(Errno) {
      guard let resolver = resolver ?? Resolver(wakeup: wakeup) else { throw .noMemory }
      self.resolver = resolver
      try resolver.ask(name, port: port, id: handle.rawValue)
    } catch {
      note(.error, "a name cannot be resolved, error ", Int(error.rawValue))
      endpoint.resolveFailed(handle, systemError: error.rawValue, at: now)
    }
  }

  private func bind(
    _ handle: Handle, _ locator: Locator, _ bufferBytes: UInt32, _ sharesPort: Bool
  ) {
    do throws(Errno) {
      let socket: LoopSocket
      var steering: UInt8 = 0
      switch locator.transport {
      case .udp:
        let open = try UDPSocket.bind(
          host: locator.host, port: locator.port, scope: locator.scope, bufferBytes: bufferBytes,
          sharesPort: sharesPort)
        steering = open.steering
        socket = try adopt(open, role: .datagram, interest: .readable)
      case .tcp:
        let open = try TCPSocket.listen(
          host: locator.host, port: locator.port, scope: locator.scope, sharesPort: sharesPort)
        socket = try adopt(open, role: .listener, interest: .readable)
      }
      note(.info, "listening on port ", Int(socket.local.port))
      if !endpoint.bound(
        handle, socket.id, local: socket.local, steering: steering, at: now)
      {
        remove(socket.id)
      }
    } catch {
      note(.warning, "listening failed, error ", Int(error.rawValue))
      endpoint.bindFailed(handle, error.status, systemError: error.rawValue, at: now)
    }
  }

  private func openDatagram(_ handle: Handle, _ remote: Address, _ bufferBytes: UInt32) {
    do throws(Errno) {
      let open = try UDPSocket.connect(to: remote, bufferBytes: bufferBytes)
      let socket = try adopt(open, role: .connectedDatagram, interest: .readable)
      socket.remote = remote
      if !endpoint.datagramOpened(handle, socket.id, local: socket.local, at: now) {
        remove(socket.id)
      }
    } catch {
      openFailed(handle, error)
    }
  }

  private func openStream(_ handle: Handle, _ remote: Address) {
    do throws(Errno) {
      let descriptor = try TCPSocket.connect(to: remote)
      let open = try OpenSocket(descriptor: descriptor, isIPv6: !remote.ip.isIPv4)
      // A client's own port can be the very one that it connects to, and then it would talk to
      // itself.
      if open.local == remote { throw .connectionRefused }
      let socket = try adopt(open, role: .connecting, interest: .writable)
      if !endpoint.streamOpened(handle, socket.id, at: now) { remove(socket.id) }
    } catch {
      openFailed(handle, error)
    }
  }

  private func openFailed(_ handle: Handle, _ error: Errno) {
    note(.info, "connecting failed, error ", Int(error.rawValue))
    endpoint.openFailed(handle, error.status, systemError: error.rawValue, at: now)
  }

  private func shutdownWrite(_ id: SocketID) {
    guard let socket = sockets[id] else { return }
    do throws(Errno) {
      try TCPSocket.shutdownWrite(socket.fd)
    } catch {
      // A stream that is gone tells so by itself.
      note(.debug, "FIN failed, error ", Int(error.rawValue))
    }
  }

  private func reset(_ id: SocketID) {
    guard let socket = sockets[id] else { return }
    do throws(Errno) {
      try TCPSocket.resetOnClose(socket.fd)
    } catch {
      note(.debug, "reset failed, error ", Int(error.rawValue))
    }
    remove(id)
  }

  /// Closes a socket. Its polling is ended first: while a forked process has the descriptor too,
  /// closing alone would leave it ready for ever.
  func remove(_ id: SocketID) {
    if let socket = sockets[id], !socket.hasFailed, !socket.isUnpolled { _ = unwatch(socket) }
    sockets.remove(id)
  }

  /// Takes a socket over: from here on it is polled.
  func adopt(
    _ open: consuming OpenSocket, role: LoopSocket.Role, interest: Readiness
  ) throws(Errno) -> LoopSocket {
    let socket = sockets.add(open, role: role)
    do throws(Errno) {
      try poller.add(socket.fd, token: socket.token, for: interest)
    } catch {
      sockets.remove(socket.id)
      throw error
    }
    socket.interest = interest
    return socket
  }

  /// Changes what a socket is polled for. If the system lacks the memory for it now, it is asked again
  /// later, so that no socket is deaf, or full, for ever.
  func watch(_ socket: LoopSocket, for interest: Readiness) {
    guard socket.interest != interest, socket.isOpen, !socket.hasFailed else { return }
    socket.interest = interest
    guard !socket.isUnpolled else { return }
    changeWatch(socket)
  }

  private func changeWatch(_ socket: LoopSocket) {
    do throws(Errno) {
      try poller.change(socket.fd, token: socket.token, to: socket.interest)
    } catch {
      note(.error, "polling failed, error ", Int(error.rawValue))
      guard !socket.isMiswatched else { return }
      socket.isMiswatched = true
      miswatched.append(socket.token)
      beginPause()
    }
  }

  /// Asks the poller again for what it refused.
  func watchMiswatched() {
    let tokens = miswatched
    miswatched.removeAll()
    for token in tokens {
      guard let socket = sockets[token: token] else { continue }
      socket.isMiswatched = false
      if !socket.hasFailed, !socket.isUnpolled { changeWatch(socket) }
    }
  }

  /// Ends the polling of a socket that stays open: one that hung up would be ready for ever. Returns
  /// whether it is ended.
  func unwatch(_ socket: LoopSocket) -> Bool {
    do throws(Errno) {
      try poller.remove(socket.fd)
      return true
    } catch {
      note(.error, "polling failed, error ", Int(error.rawValue))
      return false
    }
  }
}
