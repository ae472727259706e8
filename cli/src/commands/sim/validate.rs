//! `apportion sim validate`: the simulator against cases whose right answers are known.

use apportion_simulations::validate::{Case, Pace, Verdict, cases};

use crate::arguments::{Global, ValidateArguments};
use crate::failure::Failure;
use crate::output::{note, print, print_json, print_table};

/// Plays cases, and prints what was expected beside what came out.
pub(crate) fn validate(arguments: &ValidateArguments, global: &Global) -> Result<(), Failure> {
    let chosen = choose(arguments)?;
    let verdicts: Vec<Verdict> = chosen
        .iter()
        .map(|case| {
            if !global.quiet {
                note(format_args!("{} {}", case.number, case.title));
            }
            case.verdict()
        })
        .collect();
    if global.json {
        print_json(&verdicts)?;
    } else {
        let heading = ["case", "", "expected", "obtained", "tolerance", "verdict"];
        print_table(heading, verdicts.iter().flat_map(rows).collect(), "no cases")?;
    }
    let failed: Vec<&str> =
        verdicts.iter().filter(|verdict| !verdict.holds()).map(|verdict| verdict.case).collect();
    if failed.is_empty() {
        return if global.json { Ok(()) } else { print(&format!("all {} cases hold\n", verdicts.len())) };
    }
    let (failed_count, all) = (failed.len(), verdicts.len());
    Err(Failure::Unsuccessful(format!("{failed_count} of {all} cases do not hold: {}", failed.join(", "))))
}

fn choose(arguments: &ValidateArguments) -> Result<Vec<Case>, Failure> {
    let all = cases();
    let is_known = |number: &&String| !all.iter().any(|case| case.number == **number);
    if let Some(unknown) = arguments.cases.iter().find(is_known) {
        let known: Vec<&str> = all.iter().map(|case| case.number).collect();
        return Err(Failure::Usage(format!("there is no case {unknown}; there are {}", known.join(", "))));
    }
    let is_chosen = |case: &Case| {
        if !arguments.cases.is_empty() {
            return arguments.cases.iter().any(|number| number == case.number);
        }
        match case.pace {
            Pace::Quick => true,
            Pace::Slow => !arguments.quick,
            Pace::Long => arguments.long,
        }
    };
    Ok(all.into_iter().filter(is_chosen).collect())
}

/// A line for the case, then one for each thing that was expected.
fn rows(verdict: &Verdict) -> Vec<[String; 6]> {
    let blank = String::new;
    let word = |holds: bool| if holds { "holds" } else { "DIFFERS" }.to_owned();
    let mut rows =
        vec![[verdict.case.to_owned(), verdict.title.to_owned(), blank(), blank(), blank(), blank()]];
    rows.extend(verdict.checks.iter().map(|check| {
        let texts = [&check.what, &check.expected, &check.obtained, &check.tolerance].map(String::clone);
        let [what, expected, obtained, tolerance] = texts;
        [blank(), format!("  {what}"), expected, obtained, tolerance, word(check.holds)]
    }));
    if let Some(error) = &verdict.error {
        rows.push([blank(), format!("  {error}"), blank(), blank(), blank(), word(false)]);
    }
    rows
}
