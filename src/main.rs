use rstproof::*;
fn main() {
    lab::prepare(lab::Place::Private).unwrap();
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        let t = std::time::Instant::now();
        let mut w = trial::Worker::open(
            trial::Settings {
                place: lab::Place::Private,
                interface: "lo".into(),
                filter: None,
                port: 8080,
                keep_bytes: false,
            },
            0,
        )
        .await
        .unwrap();
        println!("open {:?}", t.elapsed());
        for s in scenario::ALL {
            for f in [scenario::Family::Ipv4, scenario::Family::Ipv6] {
                let t = std::time::Instant::now();
                let r = w.run(s, f).await.unwrap();
                println!(
                    "{} {:?} {:?} {:?}",
                    s.id,
                    f,
                    r.judgement.verdict,
                    t.elapsed()
                );
                for f in &r.judgement.findings {
                    println!("   {f}");
                }
                if let Some(g) = r.judgement.gap {
                    println!("   {g}");
                }
                if r.judgement.verdict != verdict::Verdict::Confirmed {
                    println!("{:#?} {:#?}", r.evidence.calls, r.judgement);
                }
            }
        }
        for s in scenario::ALL {
            let mut v = Vec::new();
            let mut bad = 0;
            for _ in 0..if s.id == "write-after-peer-close" {
                100
            } else {
                20000
            } {
                let t = std::time::Instant::now();
                let r = w.run(s, scenario::Family::Ipv4).await.unwrap();
                if r.judgement.verdict != verdict::Verdict::Confirmed {
                    bad += 1;
                }
                v.push(t.elapsed());
            }
            v.sort();
            println!("{} median {:?} bad {bad}", s.id, v[v.len() / 2]);
        }
    });
}
