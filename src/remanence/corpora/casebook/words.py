"""The words of Tarnwick: the names, streets, ailments and appliances from which every fictional case is made.

Nothing here is taken from a real register. Last names and streets are put together from two halves.
"""

from __future__ import annotations

_FIRST_NAMES = """
    Ada Agnes Alban Aldo Alma Amos Anders Anouk Anton Ariel Arlo Astrid August Aurel Basil Bea Benno Berta Bianca
    Birgit Boris Bruno Carla Caspar Celia Cesar Clara Clemens Cora Cyril Dagmar Dalia Damian Daria Delia Dion Dora
    Edda Edgar Edith Egon Elias Ella Elmar Elsa Emil Enid Enzo Erika Ernst Esme Esra Etta Eva Ewan Fabia Felix Fenna
    Fergus Fiona Flora Floris Franka Freya Frida Gerda Gideon Gilda Greta Gunnar Gustav Hanno Hazel Hedda Helga Henk
    Hilda Hugo Ida Igor Ilse Imke Ines Ingmar Iris Isak Ivo Jana Jasper Jelle Jonas Jorin Judith Jule Kaia Karla Kaspar
    Kira Klaas Knut Konrad Lars Lasse Lea Lena Leopold Levin Liane Lina Linus Lotte Lucia Ludo Luisa Lydia Mads Magda
    Malin Marek Marit Martha Matti Maud Mika Milan Mina Mirko Moritz Nadja Naomi Nele Nestor Nils Nina Noor Odette Olaf
    Olga Oona Oskar Otis Otto Paula Per Petra Pia Piet Quentin Ragna Ralf Ramona Rasmus Renate Rhea Robin Roland Rosa
    Ruben Runa Ruth Sander Selma Sigrid Silas Silke Simon Sofie Stellan Sven Tabea Tamara Tariq Teo Thea Tilda Tobias
    Toni Tove Ulla Urban Ursel Valentin Vera Vigo Viola Volker Wanda Wenzel Wilma Xaver Yara Yorick Yvo Zelda Zeno
    Zora
"""
_LAST_HEADS = """
    Alder Amber Arn Barn Beck Bram Briar Calder Clay Crag Dorn Dun Elder Fal Farn Fen Gar Glen Gran Hal Hart Hazel
    Holm Keld Kirk Lang Lind Lor Marl Moor Nor Oster Pel Quill Ran Red Sal Sand Sel Stav Tam Thorn Ulver Val Ver Wal
    Wend Whit Winter Yar
"""
FIRST_NAMES: tuple[str, ...] = tuple(_FIRST_NAMES.split())
_LAST_TAILS = "bach berg by dale feld gate holt kamp lund mark rup sen strom ton"
LAST_NAMES: tuple[str, ...] = tuple(head + tail for head in _LAST_HEADS.split() for tail in _LAST_TAILS.split())

_STREET_HEADS = ("Anchor", "Bell", "Birch", "Canal", "Castle", "Cooper", "Ferry", "Garden", "Harbour", "Lantern",
                 "Mill",
                 "Orchard", "Potter", "Quarry", "Ropewalk", "Saddler", "School", "Station", "Tanner",
                 "Weaver")  # fmt: skip
_STREET_TAILS = ("Lane", "Road", "Row", "Square", "Street", "Terrace")
STREETS: tuple[str, ...] = tuple(f"{head} {tail}" for head in _STREET_HEADS for tail in _STREET_TAILS)

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
TIMES = ("8.15", "8.40", "9.00", "9.30", "10.20", "10.45", "11.10", "11.50", "13.00", "13.35", "14.15", "14.50",
         "15.25",
         "16.00", "16.40", "17.10")  # fmt: skip

STAFF = {
    "clinic": ("Dr Abelard", "Dr Benning", "Dr Corvin", "Dr Dahlem", "Dr Esposto", "Dr Fairlie", "Nurse Gorman",
               "Nurse Hollis", "Nurse Imber", "Nurse Jessop"),
    "desk": ("Mr Kettle", "Mr Lomax", "Mr Merrow", "Mr Nugent", "Ms Oakes", "Ms Pryde", "Ms Quayle", "Ms Rudge",
             "Ms Sorrel", "Ms Tansy"),
}  # fmt: skip
COMPLAINTS = {
    "clinic": ("a dry cough", "a stiff neck", "a swollen ankle", "an itching rash", "a sore throat", "a dull headache",
               "a burning stomach", "ringing ears", "a trembling hand", "shortness of breath", "a numb left foot",
               "blurred sight", "poor sleep", "a painful shoulder", "sudden dizziness", "a lasting fever"),
    "desk": ("a late delivery", "a double charge", "a missing manual", "a loose part", "a strange smell",
             "a scratched case", "a wrong colour", "a dead battery", "a torn box", "a broken seal", "a bent handle",
             "a missing screw", "a faulty switch", "a wrong model", "a constant hum", "a short cable"),
}  # fmt: skip
ITEMS = {
    "clinic": ("Velorin tablets", "Osmadine drops", "Taprexol syrup", "Luminal cream", "Corvastin capsules",
               "Renaquil spray", "Belsomar patches", "Dorvaline powder", "Ismetrol gel", "Palvexin injections",
               "Quinarol lozenges", "Sentavir ointment"),
    "desk": ("a Norvik boiler", "a Halden kettle", "a Brisa freezer", "a Pollux router", "an Aster tablet",
             "a Quorum printer", "a Maris washer", "a Tundra tent", "a Corsa bicycle", "a Chime doorbell",
             "a Lucent lamp", "an Ember heater"),
}  # fmt: skip
REASONS = {
    "clinic": ("a fall on the stairs", "a long train ride", "a week of night shifts", "moving a heavy wardrobe",
               "a bee sting", "a walk in the rain", "a new pillow", "a change of diet", "the village marathon",
               "a winter cold"),
    "desk": ("a power cut", "a hard frost", "a software update", "a house move", "a careless delivery",
             "a spilled drink",
             "the spring sale", "a thunderstorm", "a wrong address label", "a missed inspection"),
}  # fmt: skip
OUTCOMES = {
    "clinic": ("was sent home to rest", "was referred to the eye ward", "was booked for a blood test",
               "was told to drink more water", "was given a sick note", "was asked to keep a diary",
               "was moved to the morning list", "was cleared for work", "was fitted with a brace",
               "was put on a lighter diet"),
    "desk": ("was offered a full refund", "was promised a new part", "was sent a return label", "was given a voucher",
             "was put on the repair list", "was asked for a photo", "was moved to another contract",
             "was granted a free month", "was lent a spare device", "was told to restart it"),
}  # fmt: skip
PRAISE = ("the staff listened carefully", "everything was over in ten minutes", "the letter was easy to read",
          "somebody called back the same day", "the waiting room was calm", "the advice worked at once",
          "the bill was lower than feared", "nobody made a fuss")  # fmt: skip
BLAME = ("nobody answered the phone", "the waiting room was crowded", "the bill was wrong twice",
         "the appointment was moved without notice", "the letter made no sense", "the desk closed early",
         "the advice changed every day", "the form was lost")  # fmt: skip
