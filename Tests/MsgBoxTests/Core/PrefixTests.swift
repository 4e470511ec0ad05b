import MsgBox
import Testing

/// How much of a listener one source prefix may take.
@Suite("Source prefixes")
struct PrefixTests {
  /// Strangers of one /24 of 192.0.2.0 and those behind it.
  private func stranger(_ simulation: Simulation, prefix: UInt32, host: UInt32) -> Stranger {
    let ip = IPAddress(v4: 0xc000_0200 + prefix << 8 + host)
    return simulation.addStranger(at: Address(ip: ip, port: 5000))
  }

  private func limited(_ limit: UInt32, implicit: Bool = false) -> ConnectionOptions {
    var options = ConnectionOptions()
    options.maxPerPrefix = limit
    options.implicitPeers = implicit
    return options
  }

  @Test("A prefix has its limit of connections, and others are as free as ever")
  func connections() throws {
    let raw = try RawServer(options: limited(4))
    var sessions: [(stranger: Stranger, id: UInt64)] = []
    for host in 1...4 as ClosedRange<UInt32> {
      let stranger = stranger(raw.simulation, prefix: 0, host: host)
      let id = stranger.shake(with: raw.address, own: UInt64(host), in: raw.simulation)
      sessions.append((stranger, try #require(id)))
    }
    let fifth = stranger(raw.simulation, prefix: 0, host: 5)
    fifth.send(RawPacket.hello(own: 5), to: raw.address)
    raw.simulation.run(for: .milliseconds(50))
    #expect(fifth.received.map(\.bytes) == [RawPacket.close(5, reason: 4)])
    #expect(raw.server.dropped(.prefixFull) == 1)
    let other = stranger(raw.simulation, prefix: 1, host: 5)
    #expect(other.shake(with: raw.address, own: 6, in: raw.simulation) != nil)
    #expect(raw.server.census.connections == 5)
    // A place that is free again is anybody's.
    sessions[0].stranger.send(RawPacket.close(sessions[0].id), to: raw.address)
    raw.simulation.run(for: .milliseconds(50))
    #expect(fifth.shake(with: raw.address, own: 5, in: raw.simulation) != nil)
    finishAll(raw.simulation)
  }

  @Test("Hellos that are forged in the name of a prefix leave half of it to who is there")
  func forged() throws {
    let raw = try RawServer(options: limited(8))
    for host in 1...200 as ClosedRange<UInt32> {
      stranger(raw.simulation, prefix: 0, host: host)
        .send(RawPacket.hello(own: UInt64(host)), to: raw.address)
    }
    // Cookies come again in the next quarter of a second.
    raw.simulation.run(for: .milliseconds(300))
    #expect(raw.server.census.pendingHellos == 5)
    for host in 201...203 as ClosedRange<UInt32> {
      let stranger = stranger(raw.simulation, prefix: 0, host: host)
      #expect(stranger.shake(with: raw.address, own: 1, in: raw.simulation) != nil)
    }
    #expect(raw.server.census.connections == 3)
    raw.simulation.run(for: .milliseconds(29_000))
    // What expires is counted no more.
    for session in raw.server.guarantees.openConnections {
      #expect(raw.server.disconnect(session) == .ok)
    }
    raw.simulation.run(for: .seconds(2))
    let fresh = stranger(raw.simulation, prefix: 0, host: 250)
    fresh.send(RawPacket.hello(own: 9), to: raw.address)
    raw.simulation.run(for: .milliseconds(50))
    #expect(fresh.received.map(\.kind) == [.accept], "no cookie is asked for")
    finishAll(raw.simulation)
  }

  @Test("IPv6 has prefixes of 56 bits")
  func ipv6() throws {
    let raw = try RawServer(options: limited(1))
    func stranger(_ high: UInt64, _ low: UInt64) -> Stranger {
      raw.simulation.addStranger(at: Address(ip: IPAddress(high: high, low: low), port: 5000))
    }
    let high: UInt64 = 0x2001_0db8_0000_0000
    #expect(stranger(high, 1).shake(with: raw.address, own: 1, in: raw.simulation) != nil)
    #expect(stranger(high | 0xff, 2).shake(with: raw.address, own: 2, in: raw.simulation) == nil)
    #expect(stranger(high | 0x100, 2).shake(with: raw.address, own: 3, in: raw.simulation) != nil)
    finishAll(raw.simulation)
  }

  @Test("Streams count from when they are accepted, whether they say hello or not")
  func streams() throws {
    let simulation = Simulation(seed: 3)
    let server = simulation.addNode("server")
    let listener = server.listen(.tcp, options: limited(2))
    _ = try #require(server.wait(for: .listening))
    let host = simulation.addNode("host")
    let address = server.address(of: listener)
    let silent = try #require(RawStream(from: host, to: address))
    let first = try #require(RawStream(from: host, to: address))
    #expect(first.shakeHands())
    let third = try #require(RawStream(from: host, to: address))
    simulation.run(for: .milliseconds(100))
    #expect(third.end != nil && silent.end == nil)
    #expect(server.dropped(.prefixFull) == 1)
    silent.close()
    simulation.run(for: .milliseconds(100))
    let fourth = try #require(RawStream(from: host, to: address))
    #expect(fourth.shakeHands(own: 79))
    for stream in [first, third, fourth] { stream.close() }
    simulation.run(for: .milliseconds(100))
    // Who said hello had one place and has given one back.
    let (fifth, sixth) = (RawStream(from: host, to: address), RawStream(from: host, to: address))
    #expect(fifth?.shakeHands(own: 80) == true && sixth?.shakeHands(own: 81) == true)
    let seventh = try #require(RawStream(from: host, to: address))
    simulation.run(for: .milliseconds(100))
    #expect(seventh.end != nil && server.dropped(.prefixFull) == 2)
    for stream in [fifth, sixth, seventh] { stream?.close() }
    finishAll(simulation)
  }

  @Test("Peers without a session count too, and a prefix of them is refused above its limit")
  func implicit() throws {
    let raw = try RawServer(options: limited(2, implicit: true))
    for host in 1...5 as ClosedRange<UInt32> {
      stranger(raw.simulation, prefix: 0, host: host)
        .send(RawPacket.oneWay(nil, "hi"), to: raw.address)
    }
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.server.census.connections == 2 && raw.server.dropped(.prefixFull) == 3)
    finishAll(raw.simulation)
  }

  @Test("Unless it is set the limit is 16 384, but for loopback addresses")
  func unlimited() throws {
    let raw = try RawServer()
    func fill(_ ip: UInt32) {
      for own in 1...UInt64(SourcePrefixes.defaultLimit + 10) {
        let port = UInt16(truncatingIfNeeded: own)
        let stranger = Address(ip: IPAddress(v4: ip + UInt32(own >> 16)), port: port)
        raw.server.enter {
          raw.server.endpoint.receive(
            RawPacket.hello(own: own).span, on: SocketID(rawValue: 0), from: stranger,
            to: raw.address, at: raw.server.now)
        }
        guard let accept = accepts[stranger] else { continue }
        raw.server.enter {
          raw.server.endpoint.receive(
            RawPacket.heartbeat(accept).span, on: SocketID(rawValue: 0), from: stranger,
            to: raw.address, at: raw.server.now)
        }
      }
    }
    var accepts: [Address: UInt64] = [:]
    raw.simulation.onDatagram = { datagram in
      if datagram.kind == .accept { accepts[datagram.to] = datagram.ownID }
      return false
    }
    raw.server.log.isCountingOnly = true
    fill(0x7f00_0001)
    #expect(raw.server.census.connections == SourcePrefixes.defaultLimit + 10)
    #expect(raw.server.dropped(.prefixFull) == 0)
    raw.simulation.onDatagram = nil
    finishAll(raw.simulation)
  }
}

extension Stranger {
  /// Shakes hands as a client does, and brings a cookie back if it is given one.
  fileprivate func shake(
    with listener: Address, own: UInt64, in simulation: Simulation
  ) -> UInt64? {
    forget()
    send(RawPacket.hello(own: own), to: listener)
    simulation.run(for: .milliseconds(50))
    if let cookie = received.last(where: { $0.kind == .cookie }) {
      send(RawPacket.hello(own: own, cookie: cookie.cookie), to: listener)
      simulation.run(for: .milliseconds(50))
    }
    guard let session = received.last(where: { $0.kind == .accept })?.ownID else { return nil }
    send(RawPacket.heartbeat(session), to: listener)
    simulation.run(for: .milliseconds(50))
    return session
  }
}
