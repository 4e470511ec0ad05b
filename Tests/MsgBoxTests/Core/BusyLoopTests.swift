import MsgBox
import Testing

/// An endpoint whose loop is slow, or cannot send.
@Suite("What a busy loop leaves undone")
struct BusyLoopTests {
  private let now = Instant(nanoseconds: 1_000_000_000)

  private func endpoint() -> Endpoint {
    Endpoint(configuration: EndpointConfiguration(), random: RandomSource(seed: 7), now: now)
  }

  @Test("An attempt never asks for a second socket while the first was not opened")
  func openings() throws {
    var endpoint = endpoint()
    let locator = Locator(transport: .tcp, host: .name(Array("box.example".utf8)), port: 80)
    let handle = endpoint.connect(locator, options: .init(), userWords: UserWords(), at: now)
    _ = endpoint.pollAction()
    let addresses = [1, 2].map { Address(ip: IPAddress(v4: $0), port: 80) }
    endpoint.resolved(handle, addresses, at: now)
    let later = now + .seconds(6)
    endpoint.handleTimeout(at: later, drainedAt: later)
    let first = [endpoint.pollAction(), endpoint.pollAction()]
    #expect(first == [.openStream(handle, addresses[0]), nil])
    let isWanted = endpoint.streamOpened(handle, SocketID(rawValue: 0), at: later)
    #expect(isWanted)
    let last = later + .seconds(1)
    endpoint.handleTimeout(at: last, drainedAt: last)
    let second = [endpoint.pollAction(), endpoint.pollAction()]
    #expect(second == [.close(SocketID(rawValue: 0)), .openStream(handle, addresses[1])])
    endpoint.handleTimeout(at: now + .seconds(10), drainedAt: last)
    let end = endpoint.pollEvent()?.kind
    #expect(end == .connectionSetupError)
    let isLate = endpoint.streamOpened(handle, SocketID(rawValue: 0), at: last)
    #expect(!isLate)
  }

  @Test("A name that nobody waits for any more is not asked for", arguments: [true, false])
  func names(listens: Bool) throws {
    var endpoint = endpoint()
    let locator = Locator(transport: .udp, host: .name(Array("box.example".utf8)), port: 80)
    let words = UserWords()
    let handle =
      listens
      ? endpoint.listen(locator, options: .init(), userWords: words, at: now)
      : endpoint.connect(locator, options: .init(), userWords: words, at: now)
    let asked = endpoint.pollAction()
    #expect(asked == .resolve(handle, name: Array("box.example".utf8), port: 80))
    if listens {
      _ = endpoint.unlisten(handle, at: now)
    } else {
      endpoint.handleTimeout(at: now + .seconds(10), drainedAt: now)
    }
    let forgotten = endpoint.pollAction()
    #expect(forgotten == .forgetName(handle))
  }

  @Test("What others have a blocked socket answer is bounded")
  func blockedAnswers() throws {
    var endpoint = endpoint()
    let locator = Locator(transport: .udp, host: .any, port: 80)
    let listener = endpoint.listen(locator, options: .init(), userWords: UserWords(), at: now)
    _ = endpoint.pollAction()
    let socket = SocketID(rawValue: 0)
    let local = Address(ip: IPAddress(v4: 1), port: 80)
    let isBound = endpoint.bound(listener, socket, local: local, at: now)
    #expect(isBound)
    endpoint.setBlocked(socket, true)
    for own in UInt64(1)...10_000 {
      let hello = RawPacket.hello(own: own)
      let remote = Address(ip: IPAddress(v4: 2), port: 5000 + UInt16(own % 2))
      endpoint.receive(hello.span, on: socket, from: remote, to: local, at: now)
    }
    endpoint.setBlocked(socket, false)
    var room = [UInt8](repeating: 0, count: 1200)
    var sent = 0
    while true {
      var span = room.mutableSpan
      endpoint.beginTurn(at: now)
      guard endpoint.pollTransmit(into: &span, at: now) != nil else { break }
      sent += 1
    }
    // An accept to each that is kept; cookies leave half of the room to others.
    #expect(sent == 2049)
    let dropped = endpoint.counters.dropped(.sendFailed)
    #expect(dropped == 10_000 - 2049)
  }

  @Test("However much a peer asks, there is room for heartbeats")
  func roomForHeartbeats() throws {
    let raw = try RawServer()
    let (session, handle) = try raw.join()
    let socket = SocketID(rawValue: 0)
    raw.server.endpoint.setBlocked(socket, true)
    for _ in 0..<10_000 {
      raw.stranger.send(
        RawPacket.header(.challenge, session: session) + [1, 2, 3, 4, 5, 6, 7, 8], to: raw.address)
    }
    raw.simulation.run(for: .milliseconds(50))
    let refused = raw.server.dropped(.sendFailed)
    #expect(refused == 10_000 - 4096, "half of the room is for answers")
    let before = raw.server.counters.heartbeatsSent
    for _ in 0..<30 {
      raw.simulation.run(for: .milliseconds(500))
      raw.send(RawPacket.heartbeat(session))
    }
    #expect(raw.server.counters.heartbeatsSent > before)
    #expect(raw.server.dropped(.sendFailed) == refused)
    #expect(raw.server.disconnect(handle) == .ok)
    raw.server.endpoint.setBlocked(socket, false)
    finishAll(raw.simulation)
  }

  @Test("A datagram of a socket that is gone is counted for what it is")
  func socketGone() {
    var endpoint = endpoint()
    let hello = RawPacket.hello(own: 1)
    let remote = Address(ip: IPAddress(v4: 2), port: 5000)
    endpoint.receive(
      hello.span, on: SocketID(rawValue: 7), from: remote, to: .unspecified, at: now)
    let counters = endpoint.counters
    #expect(counters.dropped(.noSession) == 1 && counters.allDrops == 1)
  }
}
