import MsgBox
import Testing

/// What a server gives to strangers instead of keeping something of them.
@Suite("Cookies", .transitions)
struct CookieTests {
  // MARK: The cookie itself

  private let source = RawServer.strangerAddress(1)
  private let start = Instant(nanoseconds: 5_000_000_000_000)

  @Test("A cookie is good for its source and its client alone")
  func bound() {
    var random = RandomSource(seed: 1)
    var cookies = Cookies()
    let cookie = cookies.make(source, 7, steering: 3, at: start, random: &random)
    #expect(cookie.high >> 56 == 3)
    func isGood(_ cookie: Cookie, _ source: Address, _ client: UInt64) -> Bool {
      cookies.isGood(cookie, source, client, at: start, random: &random)
    }
    #expect(isGood(cookie, source, 7))
    #expect(!isGood(cookie, source, 8))
    #expect(!isGood(cookie, RawServer.strangerAddress(2), 7))
    #expect(!isGood(cookie, RawServer.strangerAddress(1, port: 5001), 7))
    #expect(!isGood(cookie, Address(ip: source.ip, port: source.port, scope: 1), 7))
    #expect(!isGood(.none, source, 7))
    for bit in 0..<64 as Range<UInt64> {
      #expect(!isGood(Cookie(high: cookie.high ^ 1 << bit, low: cookie.low), source, 7))
      #expect(!isGood(Cookie(high: cookie.high, low: cookie.low ^ 1 << bit), source, 7))
    }
    var others = Cookies()
    #expect(!others.isGood(cookie, source, 7, at: start, random: &random))
  }

  @Test("A cookie is good for 30 seconds at least and for 60 at most, whoever else asks")
  func lifetimes() {
    for offset in stride(from: UInt64(0), to: 90, by: 7) {
      for asksBetween in [false, true] {
        var random = RandomSource(seed: offset)
        var cookies = Cookies()
        _ = cookies.make(source, 1, steering: 0, at: start, random: &random)
        let made = start + .seconds(offset)
        let cookie = cookies.make(source, 7, steering: 0, at: made, random: &random)
        for second in 0..<200 as Range<UInt64> {
          let now = made + .seconds(second)
          // Asking renews keys, so the cookie is tried on a copy if nobody is to ask.
          var asked = cookies
          let isGood = asked.isGood(cookie, source, 7, at: now, random: &random)
          if second < 30 { #expect(isGood, "after \(second) s") }
          if second >= 60 { #expect(!isGood, "after \(second) s") }
          if asksBetween { cookies = asked }
        }
      }
    }
  }

  @Test("Prefixes that flood get some cookies in a while, and all others get theirs")
  func budget() {
    var random = RandomSource(seed: 3)
    var budget = CookieBudget()
    let room = CookieBudget.room
    let levels = [
      (0, CookieBudget.perPrefix), (room / 4, CookieBudget.perPrefixOfSome),
      (room / 2, CookieBudget.perPrefixOfMany), (room - 1, CookieBudget.perPrefixOfMany),
    ]
    for (round, (waiting, most)) in levels.enumerated() {
      let now = start + .milliseconds(UInt64(round) * 250)
      func spend(_ number: Int) -> Bool {
        let ip = RawServer.strangerAddress(number).ip
        return budget.spend(on: ip, waiting: waiting, at: now, random: &random)
      }
      for prefix in 0..<500 {
        let given = (0..<1000).count { spend(prefix * 256 + $0 % 256) }
        #expect(given <= Int(most))
      }
      let flooded = (0..<500).count { !spend($0 * 256) }
      #expect(flooded == 500)
      let others = (1000..<2000).count { spend($0 * 256) }
      #expect(others >= 990, "hardly anybody shares both cells with a flood")
    }
  }

  @Test("Who forges hellos of a prefix keeps out nobody in it while their answers leave at once")
  func forgedPrefix() throws {
    let crowded = try Crowded()
    let before = crowded.server.dropped(.pendingFull)
    for own in UInt64(1000)..<2000 {
      crowded.simulation.addStranger(at: RawServer.strangerAddress(2 + Int(own % 200)))
        .send(RawPacket.hello(own: own), to: crowded.address)
    }
    crowded.simulation.run(for: .milliseconds(50))
    #expect(crowded.server.dropped(.pendingFull) - before == 1000)
    #expect(crowded.server.dropped(.answerBudget) == 0)
    crowded.send(RawPacket.hello(own: 77))
    #expect(crowded.stranger.received.contains { $0.kind == .cookie && $0.session == 77 })
    finishAll(crowded.simulation)
  }

  @Test("While cookies wait to be sent, a prefix that floods leaves room for those of all others")
  func floodBehindFullSocket() throws {
    let crowded = try Crowded()
    let server = crowded.server
    let socket = SocketID(rawValue: 0)
    server.enter { server.endpoint.setBlocked(socket, true) }
    for number in 0..<1000 {
      crowded.simulation.addStranger(
        at: RawServer.strangerAddress(256 + number % 256, port: UInt16(6000 + number))
      )
      .send(RawPacket.hello(own: UInt64(1000 + number)), to: crowded.address)
    }
    crowded.simulation.run(for: .milliseconds(50))
    let given = 1000 - Int(server.dropped(.answerBudget))
    #expect(given >= CookieBudget.free && given <= CookieBudget.free + Int(CookieBudget.perPrefix))
    #expect(server.dropped(.sendFailed) == 0)
    let other = crowded.simulation.addStranger(at: RawServer.strangerAddress(9999))
    other.send(RawPacket.hello(own: 88), to: crowded.address)
    crowded.simulation.run(for: .milliseconds(50))
    server.enter { server.endpoint.setBlocked(socket, false) }
    crowded.simulation.run(for: .milliseconds(50))
    #expect(other.received.map(\.kind) == [.cookie])
    finishAll(crowded.simulation)
  }

  // MARK: The round

  private struct Crowded {
    let simulation: Simulation
    let server: Node
    let listener: Handle
    let address: Address
    let stranger: Stranger

    /// A server of which more than half of the room for pending hellos is taken.
    init(seed: UInt64 = 1, limit: Int = 10, options: ConnectionOptions = .init()) throws {
      simulation = Simulation(seed: seed)
      var configuration = EndpointConfiguration()
      configuration.maxPendingHellos = limit
      server = simulation.addNode("server", configuration: configuration)
      listener = server.listen(.udp, options: options)
      _ = try #require(server.wait(for: .listening))
      address = server.address(of: listener)
      stranger = simulation.addStranger(at: RawServer.strangerAddress(1))
      let forger = simulation.addStranger(at: RawServer.strangerAddress(999))
      for own in 1...UInt64(limit / 2 + 1) { forger.send(RawPacket.hello(own: own), to: address) }
      simulation.run(for: .milliseconds(50))
    }

    func send(_ bytes: [UInt8]) {
      stranger.send(bytes, to: address)
      simulation.run(for: .milliseconds(50))
    }

    /// Says hello without a cookie; the one that comes back.
    func cookie(own: UInt64) throws -> [UInt8] {
      stranger.forget()
      send(RawPacket.hello(own: own))
      #expect(stranger.received.count == 1)
      let answer = try #require(stranger.received.first)
      #expect(answer.kind == .cookie && answer.session == own && answer.bytes.count == 32)
      return answer.cookie
    }
  }

  @Test("Above half of the room nothing is kept of a hello before its cookie comes back")
  func demanded() throws {
    let crowd = try Crowded()
    #expect(crowd.server.census.pendingHellos == 6)
    let cookie = try crowd.cookie(own: 77)
    for _ in 0..<100 { #expect(try crowd.cookie(own: 77) == cookie) }
    #expect(crowd.server.census.pendingHellos == 6)
    crowd.stranger.forget()
    crowd.send(RawPacket.hello(own: 77, cookie: cookie))
    #expect(crowd.stranger.received.map(\.kind) == [.accept])
    #expect(crowd.server.census.pendingHellos == 7)
    crowd.send(RawPacket.heartbeat(try #require(crowd.stranger.received.first?.ownID)))
    #expect(crowd.server.log.string() == "listening connectionReady")
    finishAll(crowd.simulation)
  }

  @Test("Of those who bring their cookies back no more wait than the limit: the oldest makes room")
  func most() throws {
    let crowd = try Crowded()
    for own in UInt64(100)..<120 {
      let cookie = try crowd.cookie(own: own)
      crowd.stranger.forget()
      crowd.send(RawPacket.hello(own: own, cookie: cookie))
      #expect(crowd.stranger.received.map(\.kind) == [.accept])
    }
    #expect(crowd.server.census.pendingHellos == 10)
    finishAll(crowd.simulation)
  }

  @Test("A cookie of another source, of another client or of nobody is answered with a cookie")
  func notGood() throws {
    let crowd = try Crowded()
    let cookie = try crowd.cookie(own: 77)
    crowd.stranger.forget()
    crowd.send(RawPacket.hello(own: 78, cookie: cookie))
    crowd.send(RawPacket.hello(own: 77, cookie: [UInt8](repeating: 9, count: 16)))
    let other = crowd.simulation.addStranger(at: RawServer.strangerAddress(2))
    other.send(RawPacket.hello(own: 77, cookie: cookie), to: crowd.address)
    crowd.simulation.run(for: .seconds(61))
    // The forged hellos are forgotten by then.
    #expect(crowd.server.census.pendingHellos == 0)
    #expect((crowd.stranger.received + other.received).map(\.kind) == [.cookie, .cookie, .cookie])
    crowd.stranger.forget()
    crowd.send(RawPacket.hello(own: 77, cookie: cookie))
    #expect(crowd.stranger.received.map(\.kind) == [.accept], "nobody asks for cookies now")
    finishAll(crowd.simulation)
  }

  @Test("A client brings its cookie back at once and is open a round trip later")
  func client() throws {
    let crowd = try Crowded()
    let client = crowd.simulation.addNode("client")
    let start = crowd.simulation.now
    let handle = client.connect(.udp, to: crowd.address)
    let setup = try #require(client.wait(for: .connectionSetup))
    #expect(setup.time.since(start) <= .milliseconds(45), "two round trips of 20 ms")
    #expect(client.send("hi", to: handle) == .ok)
    #expect(crowd.server.wait(for: .message)?.text == "hi")
    let time = try #require(client.counters(of: handle)).roundTrip
    #expect(time >= .milliseconds(19) && time <= .milliseconds(22), "of the second hello")
    finishAll(crowd.simulation)
  }

  @Test("Each of the packets of the round is lost in turn", arguments: 0..<6)
  func losses(lost: Int) throws {
    let crowd = try Crowded(seed: UInt64(lost + 1))
    let client = crowd.simulation.addNode("client")
    var count = 0
    crowd.simulation.onDatagram = { datagram in
      let isOfClient = datagram.from.ip == client.ip || datagram.to.ip == client.ip
      guard isOfClient else { return true }
      count += 1
      return count != lost + 1
    }
    _ = client.connect(.udp, to: crowd.address)
    #expect(client.wait(for: .connectionSetup, within: .seconds(2)) != nil)
    #expect(crowd.server.wait(for: .connectionReady, within: .seconds(2)) != nil)
    #expect(count > lost)
    finishAll(crowd.simulation)
  }

  @Test("A hello that is lost with its cookie is said again after a quarter of a second")
  func soonAgain() throws {
    let crowd = try Crowded()
    let client = crowd.simulation.addNode("client")
    var hellos: [Instant] = []
    crowd.simulation.onDatagram = { [simulation = crowd.simulation] datagram in
      guard datagram.from.ip == client.ip, datagram.kind == .hello else { return true }
      hellos.append(simulation.now)
      return hellos.count == 1
    }
    _ = client.connect(.udp, to: crowd.address)
    #expect(client.wait(for: .connectionSetupError)?.status == .timedOut)
    // The first of them at once, and the next one 250 ms after the cookie, as that one.
    let gaps = zip(hellos.dropFirst(), hellos).map { $0.since($1).nanoseconds / 1_000_000 }
    #expect(gaps.dropFirst() == [250, 500, 1000, 2000, 4000])
    finishAll(crowd.simulation)
  }

  @Test("Of many hellos that one address sends at once, the first gets a cookie")
  func train() throws {
    let crowd = try Crowded()
    for own in UInt64(100)..<116 {
      crowd.stranger.send(RawPacket.hello(own: own), to: crowd.address)
    }
    let other = crowd.simulation.addStranger(at: RawServer.strangerAddress(2))
    for own in UInt64(200)..<202 { other.send(RawPacket.hello(own: own), to: crowd.address) }
    crowd.simulation.run(for: .milliseconds(50))
    #expect(crowd.stranger.received.map(\.session) == [100])
    #expect(other.received.map(\.session) == [200])
    #expect(crowd.server.dropped(.answerBudget) == 16)
    // A moment later it may have another, and what brings one back is none of them.
    let cookie = try crowd.cookie(own: 101)
    crowd.stranger.forget()
    crowd.stranger.send(RawPacket.hello(own: 102), to: crowd.address)
    crowd.stranger.send(RawPacket.hello(own: 101, cookie: cookie), to: crowd.address)
    crowd.simulation.run(for: .milliseconds(50))
    #expect(crowd.stranger.received.map(\.kind) == [.cookie, .accept])
    finishAll(crowd.simulation)
  }

  @Test("A server that is behind answers the second hello, and all when it is not any more")
  func behind() throws {
    let crowd = try Crowded()
    crowd.server.endpoint.isBehind = true
    let client = crowd.simulation.addNode("client")
    let start = crowd.simulation.now
    _ = client.connect(.udp, to: crowd.address)
    let before = crowd.server.counters.datagramsSent
    for number in 1000..<2000 {
      crowd.simulation.addStranger(at: RawServer.strangerAddress(number * 300))
        .send(RawPacket.hello(own: UInt64(number)), to: crowd.address)
    }
    crowd.simulation.run(for: .milliseconds(400))
    #expect(crowd.server.counters.datagramsSent == before, "nobody has come again")
    #expect(crowd.server.dropped(.answerBudget) == 1001)
    let setup = try #require(client.wait(for: .connectionSetup))
    #expect(setup.time.since(start) <= .milliseconds(545), "two round trips after the second hello")
    crowd.server.endpoint.isBehind = false
    crowd.send(RawPacket.hello(own: 77))
    #expect(crowd.stranger.received.map(\.kind) == [.cookie])
    finishAll(crowd.simulation)
  }

  @Test("A hello is known again after a while, and others hardly ever are taken for it")
  func known() {
    var random = RandomSource(seed: 5)
    var hellos = FirstHellos()
    func isRepeat(_ number: Int, _ session: UInt64, _ time: UInt64, port: UInt16 = 5000) -> Bool {
      hellos.isRepeat(
        RawServer.strangerAddress(number, port: port), session, at: start + .milliseconds(time),
        random: &random)
    }
    #expect(!isRepeat(1, 1, 0))
    #expect(!isRepeat(1, 2, 0) && !isRepeat(2, 1, 0) && !isRepeat(1, 1, 0, port: 5001))
    #expect(!isRepeat(1, 1, 100), "a copy")
    #expect(isRepeat(1, 1, 500) && !isRepeat(1, 1, 510) && isRepeat(1, 1, 1000))
    let answers = (0..<1000 as Range<UInt64>).count { isRepeat(1, 1, 2000 + $0) }
    #expect(answers >= 3 && answers <= 8, "of copies each millisecond")
    for number in 0..<100 { _ = isRepeat(1000 + number, 7, 10_000) }
    let taken = (0..<250_000).count { isRepeat(2000 + $0, 8, 10_000 + UInt64($0) / 500) }
    #expect(taken <= 5000, "by chance 1 in 512 for each place of a bucket, if it is old enough")
    let again = (0..<100).count { isRepeat(1000 + $0, 7, 10_500) }
    #expect(again >= 90, "half a million others a second push out few")
  }

  @Test("Copies of a hello that waits get no more than ten accepts a second")
  func copies() throws {
    let raw = try RawServer()
    for _ in 0..<100 {
      for _ in 0..<10 { raw.stranger.send(RawPacket.hello(own: 5), to: raw.address) }
      raw.simulation.run(for: .milliseconds(10))
    }
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.answers.count >= 5 && raw.answers.count <= 11)
    #expect(raw.answers.allSatisfy { $0 == .accept })
    #expect(raw.server.dropped(.answerBudget) == 1000 - UInt64(raw.answers.count))
    finishAll(raw.simulation)
  }

  @Test("Clients of lossy paths come through a crowd", arguments: 1...4 as ClosedRange<UInt64>)
  func lossy(seed: UInt64) throws {
    let crowd = try Crowded(seed: seed)
    crowd.simulation.changeAll {
      $0.loss = 250
      $0.duplication = 100
      $0.reordering = 100
      $0.jitter = .milliseconds(15)
    }
    var options = ConnectionOptions()
    options.connectTimeout = .seconds(60)
    let clients = (0..<4).map { crowd.simulation.addNode("client \($0)") }
    for client in clients { _ = client.connect(.udp, to: crowd.address, options: options) }
    for client in clients {
      #expect(client.wait(for: .connectionSetup, within: .seconds(40)) != nil)
    }
    #expect(crowd.server.wait(for: .connectionReady, count: 4, within: .seconds(20)) != nil)
    finishAll(crowd.simulation)
  }

  @Test("A server that always wants another cookie gets two hellos for each that is due")
  func endless() throws {
    let simulation = Simulation(seed: 4)
    let evil = simulation.addStranger(at: RawServer.strangerAddress(1))
    var cookies = 0
    evil.onReceive = { datagram in
      guard datagram.kind == .hello, let own = datagram.ownID else { return }
      cookies += 1
      evil.send(
        RawPacket.cookie(own, [UInt8](repeating: UInt8(truncatingIfNeeded: cookies), count: 16)),
        to: datagram.from)
    }
    let client = simulation.addNode("client")
    _ = client.connect(.udp, to: evil.address)
    #expect(client.wait(for: .connectionSetupError)?.status == .timedOut)
    #expect(cookies == 12, "at 0, and 0.25, 0.75, 1.75, 3.75 and 7.75 s after the first cookie")
    #expect(client.counters.datagramsSent == 12)
    finishAll(simulation)
  }

  @Test("A cookie for nobody, or too short, changes nothing")
  func astray() throws {
    let pair = try Pair(.udp)
    let stranger = pair.simulation.addStranger(at: RawServer.strangerAddress(1))
    let cookie = [UInt8](repeating: 7, count: 16)
    stranger.send(RawPacket.cookie(1, cookie), to: pair.address)
    stranger.send(RawPacket.cookie(1, [7]), to: pair.address)
    stranger.send(RawPacket.cookie(0, cookie), to: pair.address)
    pair.run(for: .milliseconds(50))
    #expect(stranger.received.isEmpty)
    #expect(pair.server.dropped(.staleAccept) == 1 && pair.server.dropped(.short) == 1)
    #expect(pair.server.dropped(.noSession) == 1)
    pair.finish()
  }

  @Test("One host that brings back cookies without end keeps out nobody whose way is longer")
  func cycled() throws {
    let crowd = try Crowded(limit: 200)
    let hellos = try (1000..<UInt64(1300)).map {
      RawPacket.hello(own: $0, cookie: try crowd.cookie(own: $0))
    }
    let client = crowd.simulation.addNode("client")
    crowd.simulation.change(client, crowd.server) { $0.latency = .milliseconds(40) }
    var (next, ready) = (0, 0)
    _ = client.connect(.udp, to: crowd.address)
    // A hello is known no more when it comes again.
    for _ in 0..<300 {
      for _ in 0..<10 {
        crowd.stranger.send(hellos[next], to: crowd.address)
        next = (next + 1) % hellos.count
      }
      crowd.simulation.run(for: .milliseconds(1))
      ready = max(ready, crowd.server.census.pendingHellos)
    }
    #expect(ready == 200)
    #expect(client.log.string() == "connectionSetup")
    #expect(crowd.server.log.count(.connectionReady) == 1)
    finishAll(crowd.simulation)
  }

  @Test("A hello from port 0, where no answer can go, is malformed")
  func portZero() throws {
    let raw = try RawServer()
    let nowhere = raw.simulation.addStranger(at: RawServer.strangerAddress(2, port: 0))
    nowhere.send(RawPacket.hello(own: 5), to: raw.address)
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.server.census.pendingHellos == 0)
    #expect(raw.server.dropped(.malformed) == 1)
    finishAll(raw.simulation)
  }

  @Test("100 000 forged hellos take no more room than the table has, and a client connects")
  func flood() throws {
    let simulation = Simulation(seed: 6)
    let server = simulation.addNode("server")
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    let address = server.address(of: listener)
    let client = simulation.addNode("client")
    let before = server.census
    var most = 0
    var connected = simulation.now
    for round in 0..<100 {
      for index in 0..<1000 {
        let forged = round * 1000 + index
        simulation.transmit(
          Datagram(
            from: RawServer.strangerAddress(forged * 16), to: address,
            bytes: RawPacket.hello(own: UInt64(forged + 1))))
      }
      if round == 50 {
        connected = simulation.now
        _ = client.connect(.udp, to: address)
      }
      simulation.run(for: .milliseconds(20))
      var census = server.census
      most = max(most, census.pendingHellos)
      census.pendingHellos = 0
      census.connections -= server.log.count(.connectionReady)
      #expect(census == before, "of a flood nothing is kept but hellos that wait")
    }
    #expect(most <= 2050)
    #expect(server.dropped(.pendingFull) >= 97_000)
    let setup = try #require(client.log.first(.connectionSetup))
    #expect(server.log.count(.connectionReady) == 1)
    #expect(setup.time.since(connected) <= .seconds(1))
    #expect(server.counters.bytesSent <= server.counters.bytesReceived)
    finishAll(simulation)
  }
}
