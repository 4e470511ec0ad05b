import MsgBox

/// What a loop does for its endpoint.
extension Node {
  func perform(_ action: Action) {
    switch action {
    case .resolve(let handle, let name, let port): resolve(handle, name, port)
    case .forgetName: break
    case .bind(let handle, let locator, _, _): bind(handle, locator)
    case .openDatagram(let handle, let remote, _): openDatagram(handle, remote)
    case .openStream(let handle, let remote): openStream(handle, remote)
    case .close(let id): removeSocket(id)?.stream?.close()
    case .shutdownWrite(let id): socket(id)?.stream?.shutDownWrite()
    case .pause(let id): socket(id)?.stream?.pauseReading()
    case .resume(let id): socket(id)?.stream?.resumeReading()
    case .reset(let id): removeSocket(id)?.stream?.reset()
    }
  }

  private func resolve(_ handle: Handle, _ name: [UInt8], _ port: UInt16) {
    let found = simulation.names[String(decoding: name, as: UTF8.self)]
    simulation.schedule(after: simulation.resolveTime) { [self] in
      enter { [self] in
        if let found {
          endpoint.resolved(handle, found.map { Address(ip: $0, port: port) }, at: now)
        } else {
          endpoint.resolveFailed(handle, systemError: -2, at: now)
        }
      }
    }
  }

  private func bind(_ handle: Handle, _ locator: Locator) {
    let transport = locator.transport
    if let failure = bindFailure {
      bindFailure = nil
      return endpoint.bindFailed(
        handle, failure.status, systemError: failure.systemError, at: now)
    }
    var ip = IPAddress.unspecified
    if case .ip(let given) = locator.host { ip = given }
    guard ip == .unspecified || addresses.contains(ip) else {
      return endpoint.bindFailed(handle, .system, systemError: 99, at: now)
    }
    let port = locator.port == 0 ? freePort() : locator.port
    guard !isTaken(port, transport) else {
      return endpoint.bindFailed(handle, .addressInUse, systemError: 98, at: now)
    }
    let socket = addSocket(
      transport == .udp ? .datagram : .listener, local: Address(ip: ip, port: port))
    if !endpoint.bound(handle, socket.id, local: socket.local, at: now) {
      _ = removeSocket(socket.id)
    }
  }

  private func isTaken(_ port: UInt16, _ transport: Transport) -> Bool {
    sockets.contains { socket in
      guard let socket, socket.local.port == port else { return false }
      return switch socket.kind {
      case .datagram: transport == .udp
      case .listener: transport == .tcp
      case .stream: false
      }
    }
  }

  private func freePort() -> UInt16 {
    nextPort = nextPort == .max ? 40_000 : nextPort + 1
    return nextPort
  }

  private func openDatagram(_ handle: Handle, _ remote: Address) {
    if let failure = openFailure {
      openFailure = nil
      return endpoint.openFailed(
        handle, failure.status, systemError: failure.systemError, at: now)
    }
    let local = Address(ip: ip, port: freePort())
    let socket = addSocket(.datagram, local: local, remote: remote)
    if !endpoint.datagramOpened(handle, socket.id, local: local, at: now) {
      _ = removeSocket(socket.id)
    }
  }

  private func openStream(_ handle: Handle, _ remote: Address) {
    if let failure = openFailure {
      openFailure = nil
      return endpoint.openFailed(
        handle, failure.status, systemError: failure.systemError, at: now)
    }
    let side = StreamSide(self, local: Address(ip: ip, port: freePort()), remote: remote)
    let socket = addSocket(.stream(side), local: side.local, remote: remote)
    side.attach(socket)
    guard endpoint.streamOpened(handle, socket.id, at: now) else {
      _ = removeSocket(socket.id)
      return
    }
    knock(handle, side)
  }

  /// The SYN: repeated each second while nothing comes back and the program waits.
  private func knock(_ handle: Handle, _ side: StreamSide) {
    let there = simulation.link(from: ip, to: side.remote.ip)
    let lost = !there.conditions.isUp || simulation.random.chance(there.conditions.loss)
    let delay = there.delay(random: &simulation.random)
    simulation.schedule(after: lost ? .seconds(1) : delay) { [self] in
      guard side.socket != nil else { return }
      guard !lost, let host = simulation.node(at: side.remote.ip), host.hasPower else {
        return simulation.schedule(after: .seconds(1)) { [self] in
          if side.socket != nil { knock(handle, side) }
        }
      }
      let isAccepted = host.acceptStream(from: side)
      simulation.schedule(after: delay) { [self] in
        enter { [self] in finishKnock(handle, side, isAccepted) }
      }
    }
  }

  private func finishKnock(_ handle: Handle, _ side: StreamSide, _ isAccepted: Bool) {
    guard let socket = side.socket, self.socket(socket.id) === socket else { return }
    if isAccepted {
      endpoint.streamConnected(socket.id, local: side.local, at: now)
    } else {
      _ = removeSocket(socket.id)
      endpoint.openFailed(handle, .refused, systemError: 111, at: now)
    }
  }

  /// A SYN came; says whether anybody listens.
  func acceptStream(from client: StreamSide) -> Bool {
    guard isAlive, let listener = listeningSocket(at: client.remote) else { return false }
    let side = StreamSide(self, local: client.remote, remote: client.local)
    let socket = addSocket(.stream(side), local: side.local, remote: side.remote)
    side.attach(socket)
    side.peer = client
    client.peer = side
    enter { [self] in
      let isWanted =
        self.socket(listener.id) === listener
        && endpoint.accepted(
          listener.id, socket.id, remote: side.remote, local: side.local, at: now)
      if !isWanted, let socket = removeSocket(socket.id) { socket.stream?.reset() }
    }
    return true
  }
}
